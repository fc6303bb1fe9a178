"""Run servers of untrained models in a rendered project's environment.

python untrained.py FOLDER text classification,serving.port=8001 regression,serving.port=8002

Each server is a fork of this process, which has imported what takes long. They end with it.
"""

import os
import random
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch
from toy_project import serve
from toy_project.data.dataset import Split
from toy_project.data.encoder import encoder_class
from toy_project.data.spec import DataSpec
from toy_project.lineage import Lineage
from toy_project.models.base import build_model
from toy_project.models.export import make_bundle
from toy_project.objectives.base import objective_class

ENCODERS = {
    "text": ("text", {}),
    "image": ("image", {"size": 8, "mode": "L"}),
    "tabular": ("table", {}),
}
MODELS = {"text": "mlp", "image": "cnn", "tabular": "feature_mlp"}
LABELS = ("cat", "dog", "eel")
LINEAGE = Lineage(
    "0" * 40,
    False,
    "d41d8cd9.dir",
    "9f86d081",
    None,
    "v1.0.0",
    "2026-01-01T00:00:00",
    {"accuracy": 0.8125, "loss": 0.53},
)


def inputs(modality: str) -> list[dict[str, Any]]:
    """Return rows without what is predicted."""
    if modality == "text":
        return [{"text": text} for text in ("open a socket", "close a file", "sort a list")]
    if modality == "image":
        from toy_project.data.digits import rows

        return [{"image": row["image"]} for row, _ in zip(rows(), range(9), strict=False)]
    numbers = random.Random(0)
    return [
        {
            "age": numbers.uniform(20, 70),
            "is it": i % 3 == 0,
            "colour": ("red", "blue")[i % 2],
            "since": date(2020, 1, 1 + i),
        }
        for i in range(28)
    ]


def save(folder: Path, modality: str, objective: str, *, exports: bool = False) -> None:
    """Save a bundle of an untrained model."""
    rows = [
        {"label": LABELS[i % 3], "labels": [*LABELS[: i % 3]], "target": float(i), **row}
        for i, row in enumerate(inputs(modality))
    ]
    name, settings = ENCODERS[modality]
    encoder, kind = encoder_class(name), objective_class(objective)
    fitted = encoder.fit(inputs(modality), encoder.settings(name=name, **settings))
    spec = DataSpec(fitted, kind.fit(rows, kind.settings()))
    encoded = Split.from_rows(map(fitted.encode, rows), torch.zeros(len(rows)))
    model = build_model({"name": MODELS[modality]}, spec)
    make_bundle(model, spec, LINEAGE, encoded, exports=exports).save(folder)


def main() -> None:
    """Save a bundle for each server, then serve it until this process ends."""
    folder, modality, *servers = sys.argv[1:]
    for number, server in enumerate(servers):
        objective, *settings = server.split(",")
        bundle = Path(folder, str(number))
        save(bundle, modality, objective)
        if not os.fork():
            sys.argv = ["serve", f"serving.model={bundle}", *settings]
            sys.exit(serve.main())
    for _ in servers:
        os.wait()


if __name__ == "__main__":
    main()

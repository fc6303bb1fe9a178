"""Pretrained models in miniature, and what is trained with them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from miniature import make_rows
from toy_project.config import Config, DataConfig, LauncherConfig, OptimizerConfig, TrainingConfig
from toy_project.data.encoder import encoder_class, encoder_settings
from toy_project.data.spec import DataSpec
from toy_project.lineage import current_lineage
from toy_project.models.base import build_model
from toy_project.models.bundle import Bundle
from toy_project.models.pretrained import Pretrained
from toy_project.objectives.classification import Classification

from ..conftest import bundle_of, has
from . import checkpoints

IS_TEXT = has("data.pretrained_text")
FOR_TEXT = ("text", "finetuning", "bundle", "checkpoints", "export", "pipeline")
collect_ignore = ["test_image.py"] if IS_TEXT else [f"test_{name}.py" for name in FOR_TEXT]

KIND = "pretrained_text" if IS_TEXT else "pretrained_image"
NAMES = [*(checkpoints.TEXT if IS_TEXT else checkpoints.IMAGE)]
"""The checkpoints of the project's modality."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the folder of a checkpoint by its name."""
    root = tmp_path_factory.mktemp("checkpoints")

    def made(name: str) -> str:
        folder = root / name
        if not folder.exists():
            checkpoints.ALL[name](folder)
        return str(folder)

    return made


@pytest.fixture(params=NAMES[:1])
def folder(checkpoint: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """A checkpoint: the first, or those that a test names."""
    return checkpoint(request.param)


each_checkpoint = pytest.mark.parametrize("folder", NAMES, indirect=True)


def bundled(model: Pretrained, spec: DataSpec) -> Bundle:
    """Return a bundle of the model, as after a training."""
    lineage = current_lineage(config(model.config.checkpoint), run_id=None)
    return bundle_of(model.finished(), spec, lineage=lineage)


@pytest.fixture
def spec(folder: str) -> DataSpec:
    """The encoder of the checkpoint, and three labels."""
    return spec_of(folder)


def spec_of(folder: str | Path) -> DataSpec:
    """Return the encoder of a checkpoint, and three labels."""
    settings = encoder_settings(config(str(folder)).data.encoder)
    encoder = encoder_class(KIND).fit([], settings)
    return DataSpec(encoder, Classification(labels=("animals", "plants", "stones")))


def config(folder: str, **model: Any) -> Config:
    """Return the settings with which a checkpoint is trained."""
    encoder = {"name": KIND, "checkpoint": folder} | ({"max_tokens": 12} if IS_TEXT else {})
    return Config(
        data=DataConfig(name="docstrings", encoder=encoder),
        model={"name": "pretrained", "checkpoint": folder, "encoder": encoder, **model},
        objective={"name": "classification"},
        optimizer=OptimizerConfig(learning_rate=1e-3),
        training=TrainingConfig(epochs=2, batch_size=8),
        launcher=LauncherConfig(num_threads=1),
    )


def started(folder: str | Path, spec: DataSpec, **model: Any) -> Pretrained:
    """Return a model with the checkpoint's weights, as a new training starts with it."""
    torch.manual_seed(0)
    built = build_model(config(str(folder), **model).model, spec)
    assert isinstance(built, Pretrained)
    built.start()
    return built


def write_rows(path: Path) -> None:
    """Write the rows of the project in miniature."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label", "module"))
        writer.writerows((*row.values.values(), row.group) for row in make_rows())


def small(folder: str | Path) -> list[str]:
    """Return the arguments with which every stage takes a checkpoint, and a few rows."""
    return [
        "experiment=pretrained",
        f"model.checkpoint={folder}",
        "model.encoder.max_tokens=12",
        "data.path=rows.csv",
        "optimizer.learning_rate=0.003",
        "training.epochs=2",
        "training.batch_size=8",
        "launcher.num_threads=1",
        "tracking=none",
    ]

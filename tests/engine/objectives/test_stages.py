"""Every objective goes through every stage, and a bundle answers as the reports say."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from miniature import make_rows
from toy_project import evaluate, fetch, preprocess, register, train
from toy_project.artifacts import BUNDLE, METRICS_JSON, REPORTS
from toy_project.models.bundle import Bundle
from toy_project.objectives.base import Objective
from toy_project.serving.predictor import Predictor

from ..commands import run

STAGES = (fetch, preprocess, train, evaluate, register)
BASE = (
    *("data.path=rows.parquet", "data.columns.target=target", "data.columns.labels=labels"),
    *("data.columns.group=group", "tracking=none", "model=mlp", "model.word_dropout=0"),
    *("training.epochs=8", "training.batch_size=8", "optimizer.learning_rate=0.01"),
)
NUMBERS = {"animals": -30.0, "plants": 0.0, "stones": 60.0}
TRAITS = {"animals": ["alive", "moving"], "plants": ["alive"], "stones": []}


@pytest.fixture
def made(workspace: Path) -> Callable[..., Objective]:
    """`made("objective=…")`: the objective of a bundle that all stages have made."""
    rows = [
        {
            "text": row.values["text"],
            "label": (kind := row.values["label"]),
            "target": NUMBERS[kind],
            "price": NUMBERS[kind] * 1e6,
            "labels": TRAITS[kind],
            "alive": "alive" in TRAITS[kind],
            "moving": int("moving" in TRAITS[kind]),
            "group": row.group,
        }
        for row in make_rows()
    ]
    pq.write_table(pa.Table.from_pylist(rows), workspace / "rows.parquet")

    def stages(*settings: str) -> Objective:
        assert run(*STAGES, settings=(*BASE, *settings)) is None
        return Bundle.load(BUNDLE).spec.objective

    return stages


def metrics() -> dict[str, Any]:
    return json.loads(METRICS_JSON.read_text("utf-8"))


def predict(text: str) -> Any:
    [prediction] = Predictor(Bundle.load(BUNDLE)).predict([{"text": text}])
    return prediction.prediction


def reported() -> list[tuple[Any, Any]]:
    """Target and prediction of each row of predictions.csv."""
    with (REPORTS / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return [
            (json.loads(row["target"]), json.loads(row["prediction"]))
            for row in csv.DictReader(file)
        ]


def test_a_number(made):
    objective = made("objective=regression")
    figures = metrics()
    assert figures["rmse"] < 10
    assert figures["baselines"]["mean"]["rmse"] > 30
    assert figures["r2"] > 0.9
    assert predict("granite slate") == pytest.approx(60, abs=15)
    pairs = reported()
    errors = [actual - predicted for actual, predicted in pairs]
    assert math.sqrt(sum(e * e for e in errors) / len(errors)) == pytest.approx(figures["rmse"])
    assert {actual for actual, _ in pairs} == set(NUMBERS.values())
    assert {path.stem for path in (REPORTS / "figures").iterdir()} == {"predicted", "residuals"}
    assert "validation_rmse" in (REPORTS / "history.csv").read_text()
    assert objective.tuned(np.zeros((2, 1)), np.zeros((2, 1))) == objective


def test_several_numbers(made):
    objective = made("objective=regression", "data.columns.target=[target,price]")
    assert objective.about() == {"targets": ["target", "price"]}
    assert metrics()["r2"] > 0.9
    answer = predict("granite slate")
    assert answer["price"] == pytest.approx(60e6, abs=15e6)
    assert answer["target"] == pytest.approx(60, abs=15)


@pytest.mark.parametrize("columns", [(), ("data.columns.labels=[alive,moving]",)])
def test_several_labels(made, columns):
    objective = made("objective=multilabel", *columns)
    assert objective.about() == {"labels": ("alive", "moving")}
    assert objective != objective.untuned(), "the bundle has the thresholds"
    figures = metrics()
    assert figures["map"] > 0.95
    assert figures["micro_f1"] > 0.9
    assert set(figures["untuned"]) == {"map", "micro_f1", "macro_f1", "loss"}
    assert predict("cat dog") == ["alive", "moving"]
    assert predict("granite slate") == []
    assert {len(actual) for actual, _ in reported()} == {0, 1, 2}


def test_a_calibrated_label(made):
    objective = made("objective.calibrate=true", "objective.loss=focal")
    assert objective.untuned().to_dict() == objective.to_dict() | {"temperature": 1.0}
    assert objective != objective.untuned(), "the bundle has the temperature"
    figures = metrics()
    assert figures["untuned"].keys() == figures.keys() - {"bundle_version", "untuned", "baselines"}
    assert figures["untuned"]["log_loss"] != figures["log_loss"]
    card = (REPORTS / "model_card.md").read_text("utf-8")
    assert "## Tuned on the validation split" in card
    assert "| log_loss |" in card


def test_what_is_tuned_survives_a_run_that_only_lacks_its_bundle(made, monkeypatch):
    from toy_project.training.checkpoint import Checkpoints

    monkeypatch.setattr(Checkpoints, "complete", lambda self, best_step: None)
    made("objective=multilabel")
    version = Bundle.load(BUNDLE).version
    (BUNDLE / "model.safetensors").unlink()
    assert run(train, settings=(*BASE, "objective=multilabel")) is None
    assert Bundle.load(BUNDLE).version == version


@pytest.mark.parametrize("objective", ["regression", "multilabel"])
def test_a_column_that_is_missing_is_named(made, workspace, objective):
    rows = pa.table({"text": ["a", "b"], "label": ["x", "y"], "group": ["1", "2"]})
    pq.write_table(rows, workspace / "rows.parquet")
    error = run(fetch, preprocess, settings=(*BASE, f"objective={objective}"))
    column = {"regression": "target", "multilabel": "labels"}[objective]
    assert error
    assert column in error
    assert "\n" not in error

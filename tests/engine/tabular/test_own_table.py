"""A CSV of one's own with columns of every kind, through every stage and the server."""

import csv
import json
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from miniature import CONFIGS
from toy_project import evaluate, fetch, preprocess, train
from toy_project.artifacts import (
    BUNDLE,
    METRICS_JSON,
    REPORTS,
)
from toy_project.data.column import Column, ColumnType
from toy_project.evaluation.report import PREDICTIONS_CSV
from toy_project.models.bundle import Bundle
from toy_project.serving.config import ServingConfig
from toy_project.serving.predictor import Predictor
from toy_project.serving.schema import InvalidError, Schema

from ..commands import run

SETTINGS = (
    *("data.path=sales.csv", "data.columns.label=sold?", "data.columns.id=id"),
    *("data.encoder.types.zip=categorical", "tracking=none", "training.epochs=20"),
)


def write_sales(path: Path, num_rows: int = 300) -> None:
    """Write a table whose label follows from a number, a category, a flag and a date."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["id", "größe (m²)", "zip", "class", "garden.big", "listed", "none", "sold?"]
        )
        for number in range(num_rows):
            size, garden = draw.uniform(20, 200), draw.random() < 0.5
            day = date(2020, 1, 1) + timedelta(days=draw.randrange(1000))
            code, kind = draw.choice(["10115", "80331"]), draw.choice(["A", "B", "Ünique"])
            score = (size > 110) + garden + (code == "10115") + (kind == "A") + day.year - 2020
            shown = "NA" if draw.random() < 0.05 else f"{size:.1f}"
            kind = "" if draw.random() < 0.05 else kind
            row = [f"h{number}", shown, code, kind, garden, day, "", "yes" if score > 2 else "no"]
            writer.writerow(row)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has evaluated a model of the table."""
    folder = tmp_path_factory.mktemp("sales")
    (folder / "configs").symlink_to(CONFIGS)
    write_sales(folder / "sales.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(fetch, preprocess, train, evaluate, settings=SETTINGS) is None
    return folder


@pytest.fixture
def bundle(project: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.chdir(project)
    return Bundle.load(BUNDLE)


def test_each_column_has_its_type(bundle):
    types = {column.name: column.type.value for column in bundle.spec.encoder.inputs}
    assert types == {
        "größe (m²)": "numeric",
        "zip": "categorical",
        "class": "categorical",
        "garden.big": "boolean",
        "listed": "date",
        "none": "numeric",
    }


def test_the_model_learns_from_them(bundle):
    metrics = json.loads(METRICS_JSON.read_text("utf-8"))
    assert metrics["auroc"] > 0.9
    names = {"majority", "onehot_logistic_regression", "table_gradient_boosting"}
    assert {*metrics["baselines"]} == names


def typed(column: Column, cell: str) -> Any:
    """Return the JSON value that a client sends for a cell."""
    if cell in ("", "NA"):
        return None
    match column.type:
        case ColumnType.numeric:
            return float(cell)
        case ColumnType.boolean:
            return cell == "True"
    return cell


def test_served_predictions_are_those_of_evaluate(bundle):
    with (REPORTS / PREDICTIONS_CSV).open(encoding="utf-8", newline="") as file:
        shown = list(csv.DictReader(file))
    columns = bundle.spec.encoder.inputs
    for start in range(0, len(shown), 32):
        some = shown[start : start + 32]
        inputs = [{"features": {c.name: typed(c, row[c.name]) for c in columns}} for row in some]
        answers = predicted(bundle, json.dumps({"inputs": inputs}), is_batch=True)
        assert [answer.prediction for answer in answers] == [row["prediction"] for row in some]
    assert all(row["id"].startswith("h") for row in shown)


@pytest.mark.parametrize(
    "features",
    [
        {},
        {"zip": "99999", "class": None},
        {"zip": 10115, "class": 1.5},
        {"größe (m²)": -1e300, "listed": "1066-10-14T00:00:00+14:00", "none": 3},
    ],
)
def test_a_request_with_missing_new_or_far_values_is_answered(bundle, features):
    [answer] = predicted(bundle, json.dumps({"features": features}))
    assert answer.prediction in ("yes", "no") and 0 < answer.confidence <= 1


@pytest.mark.parametrize(
    "features",
    [
        '{"größe (m²)": "12"}',
        '{"größe (m²)": NaN}',
        '{"größe (m²)": 1e999}',
        '{"garden.big": 1}',
        '{"garden": {"big": true}}',
        '{"listed": "soon"}',
        '{"listed": 20240131}',
        '{"class": ["A"]}',
        '{"id": "h1"}',
        '{"sold?": "yes"}',
        "[]",
        "null",
    ],
)
def test_a_request_with_other_columns_or_types_is_refused(bundle, features):
    with pytest.raises(InvalidError):
        predicted(bundle, f'{{"features": {features}}}')


def predicted(bundle: Bundle, body: str, *, is_batch: bool = False) -> list[Any]:
    """Return the predictions for a request's body, as both servers do."""
    rows = [*Schema(bundle.spec, ServingConfig()).rows(body.encode(), is_batch=is_batch)]
    return Predictor(bundle).predict(rows)


def test_the_openapi_document_has_types_and_ranges(bundle):
    document = Schema(bundle.spec, ServingConfig()).request.model_json_schema()
    fields = document["$defs"]["Features"]["properties"]
    assert [*fields] == [column.name for column in bundle.spec.encoder.inputs]
    assert "in training 2" in json.dumps(fields["größe (m²)"])
    assert "known: 10115, 80331" in json.dumps(fields["zip"])
    assert "date-time" in json.dumps(fields["listed"])
    assert document["$defs"]["Features"]["additionalProperties"] is False

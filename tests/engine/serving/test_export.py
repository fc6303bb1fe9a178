"""What was exported predicts what PyTorch does, for each model and each objective."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from miniature import choices, compose, make_rows
from toy_project.config import Config
from toy_project.data.rows import Row
from toy_project.models.base import build_model, predict_outputs
from toy_project.models.bundle import ONNX, Bundle
from toy_project.objectives.base import objective_class, target_columns
from toy_project.serving.predictor import Predictor

from ..conftest import bundle_of, encoded, process

MODELS, OBJECTIVES = choices("model"), choices("objective")
PAIRS = [
    *((model, "classification") for model in MODELS),
    *((MODELS[0], objective) for objective in OBJECTIVES if objective != "classification"),
]
ROWS = [
    row._replace(values={"target": number % 7, "labels": ["ab"[number % 2]], **row.values})
    for number, row in enumerate(make_rows())
]


def rows_of(objective: str) -> list[Row]:
    """Rows without the targets of other objectives, which a table would take for inputs."""
    others = {*target_columns()}.difference(objective_class(objective).columns)
    return [
        row._replace(values={name: row.values[name] for name in row.values if name not in others})
        for row in ROWS
    ]


def config_of(model: str, objective: str) -> Config:
    """The configuration of a model; that of a pretrained one is a miniature."""
    chosen = [f"model={model}", f"objective={objective}"]
    if model == "pretrained":
        folder = import_module("checkpoint").checkpoint().name
        chosen += ["experiment=pretrained", f"model.checkpoint={folder}"]
    return compose(*chosen)


@pytest.mark.parametrize(("model", "objective"), PAIRS)
def test_answers_are_those_of_pytorch_offline(model: str, objective: str, tmp_path: Path) -> None:
    config = config_of(model, objective)
    processed = process(rows_of(objective), config, tmp_path)
    spec, test = processed.spec, encoded(processed, "test")
    torch.manual_seed(0)
    built = build_model(config.model, spec)
    with torch.no_grad():
        for parameter in built.parameters():  # so that the inputs matter
            parameter.add_(0.1 * torch.randn_like(parameter))
    rows = encoded(processed, "validation")
    bundle_of(built, spec, rows=rows, exports=True).save(tmp_path / "bundle")

    bundle = Bundle.load(tmp_path / "bundle")
    assert ONNX in bundle.files
    expected = predict_outputs(bundle.model, test)
    assert np.ptp(expected, axis=0).max() > 1e-3
    values = [row.values for row in processed.rows["test"]]
    served = Predictor(bundle)
    outputs = served.outputs([np.asarray(spec.encoder.encode(one)) for one in values])
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    offline = spec.objective.predictions(spec.objective.scores(expected))
    for found, wanted in zip(served.predict(values), offline, strict=True):
        if objective == "regression":
            assert found.prediction == pytest.approx(wanted.prediction, rel=1e-3, abs=1e-3)
        else:
            assert found.prediction == wanted.prediction


def unexportable(module: torch.nn.Module, inputs: object, outputs: torch.Tensor) -> torch.Tensor:
    """What the exporter cannot follow: a choice that depends on the values."""
    return outputs if outputs.sum().item() > 0 else outputs + 1


def test_a_model_that_cannot_be_exported_says_so_in_one_line(tmp_path, caplog):
    config = config_of(MODELS[0], "classification")
    processed = process(rows_of("classification"), config, tmp_path)
    model = build_model(config.model, processed.spec)
    model.register_forward_hook(unexportable)
    rows = encoded(processed, "validation")
    made = bundle_of(model, processed.spec, rows=rows, exports=True)
    assert ONNX not in made.files
    [line] = [one.message for one in caplog.records if one.name.startswith("toy_project")]
    assert line.startswith("no model.onnx, only PyTorch can compute this model: ")
    assert "\n" not in line

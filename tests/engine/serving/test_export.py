"""What was exported predicts what PyTorch does, for each model and each objective."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from miniature import choices, compose, make_rows
from safetensors.numpy import load
from toy_project import evaluate, fetch, preprocess, train
from toy_project.artifacts import BUNDLE, METRICS_JSON, MODEL_CARD, REPORTS
from toy_project.config import Config
from toy_project.data.preprocessing import Processed
from toy_project.data.rows import Row
from toy_project.evaluation.int8 import compare, served_outputs
from toy_project.models.base import Model, build_model, predict_outputs
from toy_project.models.bundle import CHECKS, INT8, ONNX, Bundle, BundleError
from toy_project.models.export import check_bundle
from toy_project.objectives.base import objective_class, target_columns
from toy_project.serving.predictor import Predictor

from ..commands import run
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


def started(config: Config, processed: Processed) -> Model:
    """An untrained model to which its inputs matter."""
    torch.manual_seed(0)
    model = build_model(config.model, processed.spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(("model", "objective"), PAIRS)
def test_answers_are_those_of_pytorch_offline(model: str, objective: str, tmp_path: Path) -> None:
    config = config_of(model, objective)
    processed = process(rows_of(objective), config, tmp_path)
    spec, test = processed.spec, encoded(processed, "test")
    built = started(config, processed)
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


@pytest.mark.parametrize("model", MODELS)
def test_int8_is_what_is_served_and_evaluated(model: str, tmp_path: Path) -> None:
    config = config_of(model, "classification")
    processed = process(rows_of("classification"), config, tmp_path)
    built, rows = started(config, processed), encoded(processed, "validation")
    bundle_of(built, processed.spec, rows=rows, exports=True, quantises=True).save(tmp_path / "b")

    bundle = Bundle.load(tmp_path / "b")
    check_bundle(bundle)
    assert len(bundle.files[INT8]) < 1.1 * len(bundle.files[ONNX])
    onnx = onnxruntime.InferenceSession(bundle.files[INT8])
    [taken] = onnx.get_inputs()
    served, test = Predictor(bundle), encoded(processed, "test")
    assert (served.precision, Predictor(bundle, backend="torch").precision) == ("int8", "float32")
    exact = predict_outputs(bundle.model, test)
    for number, row in enumerate(processed.rows["test"]):
        inputs = np.asarray(processed.spec.encoder.encode(row.values))
        [expected] = onnx.run(None, {taken.name: inputs[None]})
        assert np.array_equal(served.outputs([inputs]), expected)
        assert 0 < np.abs(expected - exact[number]).max() < 0.1 * np.ptp(exact)

    outputs = served_outputs(bundle, test)
    found = compare(bundle, outputs, test)
    assert found
    objective, targets = processed.spec.objective, test.targets.numpy()
    assert found.metrics["loss"] == {
        "float32": pytest.approx(objective.evaluate(exact, targets)["loss"], rel=1e-4),
        "int8": objective.evaluate(outputs, targets)["loss"],
    }
    assert found.num_changed == (outputs.argmax(-1) != exact.argmax(-1)).sum()
    assert all(time > 0 for of in found.us_per_row.values() for time in of.values())


def test_the_reports_say_what_int8_costs(workspace, caplog):
    rows = [{**row.values, "group": row.group} for row in make_rows()]
    pq.write_table(pa.Table.from_pylist(rows), "rows.parquet")
    settings = ("data.path=rows.parquet", "data.columns.group=group", "training=smoke")
    settings += ("tracking=none", "training.export=int8")
    caplog.set_level("INFO")
    assert run(fetch, preprocess, train, evaluate, settings=settings) is None

    bundle = Bundle.load(BUNDLE)
    metrics = json.loads(METRICS_JSON.read_text("utf-8"))
    for name in (*bundle.spec.objective.metrics, "loss"):
        assert metrics["quantised"][name].keys() == {"float32", "int8"}
        assert metrics["quantised"][name]["int8"] == metrics[name]
    times = json.loads((REPORTS / "times.json").read_text("utf-8"))
    assert times["bundle_version"] == bundle.version
    assert times["us_per_row"].keys() == {"1 at a time", "16 at a time"}
    assert "## Served in int8" in MODEL_CARD.read_text("utf-8")
    assert "CPU µs per row, 16 at a time" in caplog.text
    before = METRICS_JSON.read_bytes(), MODEL_CARD.read_bytes()
    assert run(evaluate, settings=settings) is None
    assert (METRICS_JSON.read_bytes(), MODEL_CARD.read_bytes()) == before


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with a model in int8."""
    folder = tmp_path_factory.mktemp("quantised")
    config = config_of(MODELS[0], "classification")
    processed = process(rows_of("classification"), config, folder)
    built, rows = started(config, processed), encoded(processed, "validation")
    return bundle_of(built, processed.spec, rows=rows, exports=True, quantises=True)


def test_a_damaged_model_in_int8_is_refused(quantised: Bundle, tmp_path: Path) -> None:
    quantised.save(tmp_path / "b")
    content = bytearray(quantised.files[INT8])
    content[len(content) // 2] ^= 1
    (tmp_path / "b" / INT8).write_bytes(content)
    with pytest.raises(BundleError, match=rf"is damaged: {INT8} is not what was written"):
        Bundle.load(tmp_path / "b")


def test_a_model_in_int8_that_answers_otherwise_is_refused(quantised: Bundle) -> None:
    checks = load(quantised.files[CHECKS])
    off = np.abs(checks["int8"] - checks["outputs"]).max()
    quantised.check(lambda _: checks["int8"] + off, is_int8=True)  # as another CPU may do
    for answers in (checks["int8"] + 2 * off + 0.01, checks["int8"] * np.nan):
        with pytest.raises(BundleError, match="; train the model again"):
            quantised.check(lambda _, answers=answers: answers, is_int8=True)
    for content in (b"", b"no such file", quantised.files[ONNX][:-1]):
        other = replace(quantised, files={**quantised.files, INT8: content})
        with pytest.raises(BundleError, match=r"^the bundle does not fit this code"):
            Predictor(other)


def without_matrix(module: torch.nn.Module, inputs: Any, outputs: torch.Tensor) -> torch.Tensor:
    """What has no weights that could be quantised."""
    return inputs[0].flatten(1).sum(1, keepdim=True) + torch.zeros(outputs.shape[-1])


def infinite(module: torch.nn.Module, inputs: Any, outputs: torch.Tensor) -> torch.Tensor:
    """What multiplies infinity, of which int8 has none."""
    scales = torch.cat([outputs, torch.full_like(outputs[:, :1], torch.inf)], dim=1)
    matrix = torch.linspace(1, 2, scales.shape[1] * outputs.shape[1]).view(scales.shape[1], -1)
    return 1 / (scales @ matrix) + outputs


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (without_matrix, "it has no matrix of weights"),
        (infinite, "it gives NaN or infinity in int8"),
    ],
)
def test_a_model_that_cannot_be_quantised_stays_in_float32(hook, reason, tmp_path, caplog):
    config = config_of(MODELS[0], "classification")
    processed = process(rows_of("classification"), config, tmp_path)
    model = build_model(config.model, processed.spec)
    model.register_forward_hook(hook)
    rows = encoded(processed, "validation")
    made = bundle_of(model, processed.spec, rows=rows, exports=True, quantises=True)
    assert (ONNX in made.files, INT8 in made.files) == (True, False)
    assert load(made.files[CHECKS]).keys() == {"inputs", "outputs"}
    [line] = [one.message for one in caplog.records if one.name.startswith("toy_project")]
    assert line == f"no {INT8}, the model stays in float32: {reason}"

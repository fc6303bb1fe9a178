import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load, save
from toy_project.data.rows import Detailed
from toy_project.models.bundle import CHECKS, ONNX, Bundle, BundleError
from toy_project.rules import ConfigError
from toy_project.serving.predictor import Predictor

ROWS = [{"text": "cat " * (1 + number * 7 % 19) + f"n{number}"} for number in range(50)]
BACKENDS = ["onnx", "torch"]


def without(bundle: Bundle, name: str) -> Bundle:
    """The bundle without one of its files."""
    return replace(bundle, files={key: bundle.files[key] for key in bundle.files if key != name})


@pytest.mark.parametrize("backend", BACKENDS)
def test_predictions_are_the_models_in_the_order_of_the_inputs(bundle, backend):
    predictions = Predictor(bundle, backend=backend).predict(ROWS)
    for row, prediction in zip(ROWS, predictions, strict=True):
        with torch.inference_mode():
            logits = bundle.model(torch.tensor([bundle.spec.encoder.encode(row)]))[0]
        assert prediction.prediction == bundle.spec.objective.labels[logits.argmax()]
        assert prediction.confidence == pytest.approx(logits.softmax(-1).max().item(), abs=1e-5)


def test_details_are_of_the_rows_that_ask_for_them(bundle):
    predictor = Predictor(bundle)
    plain = predictor.predict(ROWS)
    mixed = [Detailed(row) if number % 3 else row for number, row in enumerate(ROWS)]
    for number, (one, other) in enumerate(zip(predictor.predict(mixed), plain, strict=True)):
        assert one[:2] == other
        assert one._fields[2:] == (("confidences",) if number % 3 else ())


WITHOUT = """
import sys
from pathlib import Path
for name in ("torch", "dvc", "mlflow", "wandb", "sklearn", "matplotlib", "scipy", "onnx"):
    sys.modules[name] = None
from toy_project import serve
from toy_project.models.bundle import Bundle
from toy_project.serving.predictor import Predictor
[found] = Predictor(Bundle.load(Path(sys.argv[1]))).predict([{"text": "cat dog"}])
print(found.prediction)
"""


def test_what_only_training_needs_is_not_imported(bundle, bundle_folder):
    command = [sys.executable, "-c", WITHOUT, str(bundle_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    [expected] = Predictor(bundle, backend="torch").predict([{"text": "cat dog"}])
    assert (done.stdout, done.stderr) == (f"{expected.prediction}\n", "")


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_predicted_of_nothing(bundle, backend):
    assert Predictor(bundle, backend=backend).predict([]) == []


def test_the_number_of_threads_is_set(bundle, monkeypatch):
    created, plain = [], onnxruntime.InferenceSession

    def session(content, options, **more):
        created.append(options)
        return plain(content, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    for backend in BACKENDS:
        Predictor(bundle, backend=backend, num_threads=2)
    assert {options.intra_op_num_threads for options in created} == {2}
    assert torch.get_num_threads() == 2
    Predictor(bundle, backend="torch", num_threads=1)
    assert torch.get_num_threads() == 1


def test_the_version_is_the_registrys_or_the_bundles(bundle):
    assert Predictor(bundle).version == bundle.version
    assert Predictor(bundle, version="3").version == "3"


def test_what_was_not_exported_is_computed_by_pytorch(bundle, caplog):
    caplog.set_level("INFO")
    row, plain = ROWS[:1], without(bundle, ONNX)
    assert Predictor(plain).predict(row) == Predictor(bundle, backend="torch").predict(row)
    told = "the model was not exported for ONNX Runtime, so PyTorch computes it"
    assert caplog.messages == [told]


def test_a_library_that_is_not_installed_is_named(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    message = r"^serving.backend=torch needs torch, which is not installed here$"
    with pytest.raises(ConfigError, match=message):
        Predictor(without(bundle, ONNX))


def test_an_unknown_back_end_is_one_line(bundle):
    message = "^serving.backend must be one of onnx, torch, got 'onx'$"
    with pytest.raises(ConfigError, match=message):
        Predictor(bundle, backend="onx")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("off", [0.01, np.nan])
def test_a_model_that_answers_otherwise_than_in_training_is_refused(bundle, backend, off):
    checks = load(bundle.files[CHECKS])
    checks["outputs"] = checks["outputs"] + np.float32(off)
    other = replace(bundle, files={**bundle.files, CHECKS: save(checks)})
    with pytest.raises(BundleError, match="gives other outputs than in training"):
        Predictor(other, backend=backend)


@pytest.mark.parametrize("name", [ONNX, CHECKS])
@pytest.mark.parametrize("content", [b"", b"no such file", b"\xff" * 100])
def test_a_file_of_another_kind_is_refused_in_one_line(bundle, name, content):
    other = replace(bundle, files={**bundle.files, name: content})
    with pytest.raises(
        BundleError, match=r"^the bundle does not fit this code \(.*; train the model"
    ):
        Predictor(other)

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from toy_project.models.base import Model
from toy_project.models.bundle import CHECKS, Bundle, BundleError
from toy_project.models.mlp import MLP

from ..conftest import has

FILES = ["checks.safetensors", "config.json", "lineage.json", "model.onnx", "model.safetensors"]


def test_a_bundle_comes_back_as_it_was_saved(bundle, bundle_folder):
    loaded = Bundle.load(bundle_folder)
    inputs = torch.randint(1, 20, (3, 5))
    assert loaded.model(inputs).equal(bundle.model(inputs))
    assert loaded.spec == bundle.spec
    assert (loaded.lineage, loaded.version) == (bundle.lineage, bundle.version)


def test_a_model_that_is_read_in_inference_mode_can_be_trained(bundle_folder):
    bundle, inputs = Bundle.load(bundle_folder), torch.randint(1, 20, (3, 5))
    with torch.inference_mode():
        expected = bundle.model(inputs)
    outputs = bundle.model(inputs)
    assert outputs.equal(expected)
    outputs.sum().backward()


def test_saving_again_replaces_the_folder(bundle, bundle_folder):
    (bundle_folder / "stray.txt").write_text("old", "utf-8")
    bundle.save(bundle_folder)
    assert sorted(path.name for path in bundle_folder.iterdir()) == FILES


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "model.onnx", "checks.safetensors", "lineage.json"]
)
def test_one_flipped_bit_is_noticed(bundle_folder, name):
    content = bytearray((bundle_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"is damaged: {name} is not what was written"):
        Bundle.load(bundle_folder)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "model.onnx", "checks.safetensors", "lineage.json"]
)
def test_a_missing_file_is_noticed(bundle_folder, name):
    (bundle_folder / name).unlink()
    with pytest.raises(BundleError, match=f"is not a bundle .{name} is missing.; train a model"):
        Bundle.load(bundle_folder)


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ((0, 5), (0, 3), "has no outputs to check"),
        ((2, 5), (2, 0), "has no outputs to check"),
        ((2, 5), (1, 3), "gives other outputs than in training"),
    ],
)
def test_checks_that_compare_nothing_are_refused(bundle, tmp_path, inputs, outputs, reason):
    checks = {"inputs": np.ones(inputs, np.int64), "outputs": np.zeros(outputs, np.float32)}
    replace(bundle, files={**bundle.files, CHECKS: save(checks)}).save(tmp_path / "b")
    with pytest.raises(BundleError, match=f"^{tmp_path}/b {reason}; train the model again$"):
        Bundle.load(tmp_path / "b").check(lambda rows: np.zeros((len(rows), 3), np.float32))


def test_a_bundle_of_other_code_is_refused(bundle_folder, monkeypatch):
    monkeypatch.setattr(MLP, "__init__", Model.__init__)
    bundle = Bundle.load(bundle_folder)
    with pytest.raises(BundleError, match=r"does not fit this code \('embedding.* expected None\)"):
        assert bundle.model


def test_another_schema_is_refused(bundle_folder):
    path = bundle_folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(config | {"schema_version": 99}), "utf-8")
    with pytest.raises(BundleError, match="has schema version 99, expected 4; train the model"):
        Bundle.load(bundle_folder)


@pytest.mark.parametrize("module", ["models.bundle", "models.export", "serving.predictor"])
def test_onnx_runtime_sends_nothing_to_its_maker(module, tmp_path, monkeypatch):
    if module.startswith("serving") and not has("serving"):
        pytest.skip("made without a server")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    for name in ("HOME", "XDG_CACHE_HOME"):  # where it would keep events until they are sent
        monkeypatch.setenv(name, str(tmp_path))
    code = f"import toy_project.{module}, onnxruntime.quantization"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]

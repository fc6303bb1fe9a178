"""A checkpoint that cannot be used ends in one line, and none of its code is run."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_project.data.pretrained import checkpoint_folder
from toy_project.data.pretrained_text import PretrainedTextConfig, PretrainedTextEncoder
from toy_project.rules import ConfigError

from .conftest import started


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """A copy of a checkpoint, to be spoilt."""
    return Path(shutil.copytree(folder, tmp_path / "base"))


def refused(copy: Path | str, spec) -> str:
    with pytest.raises(ConfigError) as error:
        started(str(copy), spec)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_weights_in_a_pickle_are_not_read(copy, spec):
    weights = load_file(copy / "model.safetensors")
    torch.save(weights, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    assert "no file named model.safetensors" in refused(copy, spec)


def test_weights_of_another_model_are_refused(copy, spec):
    save_file({"x": torch.ones(2)}, copy / "model.safetensors", {"format": "pt"})
    expected = f"model.checkpoint must be the weights of its config, got {str(copy)!r}"
    assert refused(copy, spec) == expected


def test_code_of_a_checkpoint_is_not_run(copy, tmp_path):
    """Its config names classes in a file of its own, which transformers would import."""
    settings = json.loads((copy / "config.json").read_text("utf-8"))
    settings |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.MyConfig"}}
    (copy / "config.json").write_text(json.dumps(settings), "utf-8")
    mark = tmp_path / "was_run"
    (copy / "mine.py").write_text(f"open({str(mark)!r}, 'w')", "utf-8")
    with pytest.raises(ConfigError, match="contains custom code which must be executed"):
        PretrainedTextEncoder.fit([], PretrainedTextConfig(checkpoint=str(copy)))
    assert not mark.exists()


def test_a_hub_that_does_not_answer_ends_in_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError) as error, checkpoint_folder("nobody/nothing", ["*.json"]):
        pass
    message = str(error.value)
    expected = "a folder, or a model on the hub, that transformers can load"
    assert message.startswith(f"model.checkpoint must be {expected}, got 'nobody/nothing' (")
    assert "\n" not in message


def test_a_name_that_is_neither_a_folder_nor_an_id_is_refused():
    expected = "model.checkpoint must be .*, got '/no/where' "
    with pytest.raises(ConfigError, match=expected), checkpoint_folder("/no/where", ["*.json"]):
        pass

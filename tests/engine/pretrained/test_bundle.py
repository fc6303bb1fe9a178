"""The bundle of a pretrained model needs neither a hub nor the checkpoint it was trained from."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from toy_project.data.preprocessing import Processed
from toy_project.lineage import current_lineage
from toy_project.models.bundle import Bundle, BundleError

from .conftest import config, started

FILES = ["encoder/config.json", "encoder/tokenizer.json", "encoder/tokenizer_config.json"]


@pytest.fixture
def base(checkpoint, tmp_path) -> str:
    """A copy of a checkpoint, which may be deleted."""
    return str(shutil.copytree(checkpoint("roberta"), tmp_path / "base"))


@pytest.fixture
def bundle(base, prepared: Processed) -> Bundle:
    """A model with the weights of a checkpoint, and a head that matters."""
    model = started(base, prepared, finetune="lora")
    torch.nn.init.normal_(model.network.classifier.out_proj.weight)
    lineage = current_lineage(config(base), run_id=None)
    return Bundle(model.finished().eval(), prepared.spec, lineage)


@pytest.fixture
def folder(bundle: Bundle, tmp_path) -> Path:
    bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Refuse every connection; return the addresses that were asked for."""
    asked: list[object] = []

    def refuse(*arguments: object, **options: object) -> None:
        asked.append(arguments)
        raise OSError("the network is blocked")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.mark.parametrize("prepared", ["roberta"], indirect=True)
def test_it_loads_without_a_network_and_without_the_checkpoint(folder, bundle, base, no_network):
    shutil.rmtree(base)
    loaded = Bundle.load(folder)
    assert not no_network
    assert (loaded.version, loaded.sha256) == (bundle.version, bundle.sha256)
    assert loaded.spec == bundle.spec
    inputs = torch.tensor([loaded.spec.encoder.encode({"text": "a whale and moss"})])
    with torch.inference_mode():
        assert loaded.model(inputs).equal(bundle.model(inputs))
        assert loaded.model(inputs).abs().max() > 0.01


@pytest.mark.parametrize("prepared", ["roberta"], indirect=True)
def test_it_holds_the_weights_alone_without_lora(folder):
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    assert sorted(files) == ["config.json", *FILES, "lineage.json", "model.safetensors"]
    assert not [name for name in load_file(folder / "model.safetensors") if "lora" in name]


@pytest.mark.parametrize("prepared", ["roberta"], indirect=True)
def test_every_file_of_the_encoder_counts_for_the_version(folder, bundle):
    hashes = json.loads((folder / "config.json").read_text("utf-8"))["sha256"]
    assert set(FILES) < hashes.keys()
    contents = dict(bundle.spec.encoder.files())
    contents["tokenizer_config.json"] += b"\n"
    encoder = type(bundle.spec.encoder).from_saved(bundle.spec.encoder.to_dict(), contents)
    other = Bundle(bundle.model, type(bundle.spec)(encoder, bundle.spec.objective), bundle.lineage)
    assert other.version != bundle.version


@pytest.mark.parametrize("prepared", ["roberta"], indirect=True)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_changed_or_lost_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b" ")
    message = f"{folder} is damaged: {name} is not what was written"
    with pytest.raises(BundleError) as error:
        Bundle.load(folder)
    assert str(error.value) == message
    (folder / name).unlink()
    message = f"{folder} is not a bundle ({name} is missing); train a model first"
    with pytest.raises(BundleError) as error:
        Bundle.load(folder)
    assert str(error.value) == message


@pytest.mark.parametrize("prepared", ["roberta"], indirect=True)
@pytest.mark.parametrize("name", ["encoder/../../secret", "encoder/", "encoder//etc/passwd"])
def test_a_file_outside_the_bundle_is_not_read(folder, name, monkeypatch):
    """Even where all hashes fit, as whoever can write the bundle can make them."""
    from toy_project.models import bundle as module

    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["sha256"][name] = "0" * 64
    (folder / "config.json").write_bytes(module._sealed(config))
    with pytest.raises(BundleError, match="does not fit this code .sha256 must be"):
        Bundle.load(folder)

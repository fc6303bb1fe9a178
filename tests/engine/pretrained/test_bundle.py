"""The bundle of a pretrained model needs neither a hub nor the checkpoint it was trained from."""

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_project.models.bundle import Bundle, BundleError

from .conftest import bundled, spec_of, started

FILES = ["encoder/config.json", "encoder/tokenizer.json", "encoder/tokenizer_config.json"]


@pytest.fixture
def base(checkpoint, tmp_path) -> Path:
    """A copy of a checkpoint, which may be deleted."""
    return Path(shutil.copytree(checkpoint("roberta"), tmp_path / "base"))


@pytest.fixture
def bundle(base) -> Bundle:
    """A model with the weights of a checkpoint, and a head that matters."""
    spec = spec_of(base)
    model = started(base, spec, finetune="lora")
    torch.nn.init.normal_(model.network.classifier.out_proj.weight)
    return bundled(model, spec)


@pytest.fixture
def saved(bundle, tmp_path) -> Path:
    """The bundle on disk."""
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


def test_it_loads_without_a_network_and_without_the_checkpoint(saved, bundle, base, no_network):
    shutil.rmtree(base)
    loaded = Bundle.load(saved)
    assert not no_network
    assert (loaded.version, loaded.sha256) == (bundle.version, bundle.sha256)
    assert loaded.spec == bundle.spec
    inputs = torch.tensor([loaded.spec.encoder.encode({"text": "a whale and moss"})])
    with torch.inference_mode():
        assert loaded.model(inputs).equal(bundle.model(inputs))
        assert loaded.model(inputs).abs().max() > 0.01


def test_it_holds_the_weights_alone_without_lora(saved):
    files = [str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()]
    assert sorted(files) == [
        "checks.safetensors",
        "config.json",
        *FILES,
        "lineage.json",
        "model.safetensors",
    ]
    assert not [name for name in load_file(saved / "model.safetensors") if "lora" in name]


def test_every_file_of_the_encoder_counts_for_the_version(saved, bundle):
    hashes = json.loads((saved / "config.json").read_text("utf-8"))["sha256"]
    assert set(FILES) < hashes.keys()
    contents = dict(bundle.spec.encoder.files())
    contents["tokenizer_config.json"] += b"\n"
    encoder = type(bundle.spec.encoder).from_saved(bundle.spec.encoder.to_dict(), contents)
    other = replace(bundle, spec=replace(bundle.spec, encoder=encoder))
    assert other.version != bundle.version


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_changed_or_lost_is_named(saved, name):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[:-1] + b" ")
    message = f"{saved} is damaged: {name} is not what was written"
    with pytest.raises(BundleError) as error:
        Bundle.load(saved)
    assert str(error.value) == message
    (saved / name).unlink()
    message = f"{saved} is not a bundle ({name} is missing); train a model first"
    with pytest.raises(BundleError) as error:
        Bundle.load(saved)
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["encoder/../../secret", "encoder/", "encoder//etc/passwd"])
def test_a_file_outside_the_bundle_is_not_read(saved, name):
    """Even where all hashes fit, as whoever can write the bundle can make them."""
    from toy_project.models import bundle as module

    config = json.loads((saved / "config.json").read_text("utf-8"))
    config["sha256"][name] = "0" * 64
    (saved / "config.json").write_bytes(module._sealed(config))
    with pytest.raises(BundleError, match=r"does not fit this code \(sha256 must be of files, got"):
        Bundle.load(saved)

"""A pretrained image model reads what transformers' own processor gives it."""

import io
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_project import export
from toy_project.data.image import ImageEncoder
from toy_project.models.bundle import Bundle, BundleError
from toy_project.rules import ConfigError
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    EfficientNetImageProcessorPil,
)

from .conftest import bundled, each_checkpoint, spec_of, started

PROCESSOR = "encoder/preprocessor_config.json"


def images() -> list[Image.Image]:
    """Return images of several shapes, one without colours."""
    draw = np.random.default_rng(0)
    shapes = ((40, 30, 3), (16, 16, 3), (9, 50, 3), (33, 40))
    return [Image.fromarray(draw.integers(0, 256, one, dtype=np.uint8)) for one in shapes]


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def encoded(encoder: ImageEncoder) -> torch.Tensor:
    """Return the images as a model gets them: uint8 [4, channels, height, width]."""
    rows = [encoder.encode({"image": png(image)}) for image in images()]
    return torch.from_numpy(np.stack(rows))


def expected_pixels(folder: str | Path) -> torch.Tensor:
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    rgb = [image.convert("RGB") for image in images()]
    return processor(rgb, return_tensors="pt")["pixel_values"]


@each_checkpoint
def test_the_pixels_are_those_of_the_processor(folder, spec):
    inputs = encoded(spec.encoder)
    assert inputs.dtype == torch.uint8
    pixels = spec.encoder.spec.arguments(inputs)["pixel_values"]
    torch.testing.assert_close(pixels, expected_pixels(folder), rtol=0, atol=1e-5)


def test_a_request_gives_the_pixels_of_a_row(spec):
    [image, *_] = images()
    row = spec.encoder.row({"image": png(image), "pixels": None})
    assert np.array_equal(spec.encoder.encode(row), spec.encoder.encode({"image": png(image)}))


def test_a_baseline_gets_small_pixels(spec):
    _, features = spec.encoder.features()["linear"]
    assert features.transform([{"image": png(image)} for image in images()]).shape == (4, 768)


@each_checkpoint
@pytest.mark.parametrize("finetune", ["full", "frozen", "lora"])
def test_a_step_changes_the_head_and_of_the_body_what_was_chosen(folder, spec, finetune):
    model = started(folder, spec, finetune=finetune, layer_decay=0.9).train()
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    torch.optim.SGD(model.parameters(), 0.1).zero_grad()
    model(encoded(spec.encoder)).square().sum().backward()
    torch.optim.SGD([one for one in model.parameters() if one.requires_grad], 0.1).step()
    changed = {name for name, one in model.named_parameters() if not one.equal(before[name])}
    in_body = {name for name in changed if not name.startswith("network.classifier")}
    assert "network.classifier.weight" in changed
    assert bool(in_body) is (finetune != "frozen")
    assert all(".lora_" in name for name in in_body) or finetune == "full"
    assert {*model.rate_factors().values()} <= {0.9**distance for distance in range(1, 6)}


@each_checkpoint
def test_the_bundle_needs_no_network_and_no_checkpoint(folder, tmp_path, monkeypatch):
    base = shutil.copytree(folder, tmp_path / "base")
    spec = spec_of(base)
    bundle = bundled(started(base, spec, finetune="lora"), spec)
    bundle.save(tmp_path / "bundle")
    shutil.rmtree(base)
    asked = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: asked.append(arguments))
    loaded = Bundle.load(tmp_path / "bundle")
    with torch.inference_mode():
        outputs = loaded.model(encoded(loaded.spec.encoder))
        assert outputs.equal(bundle.model(encoded(spec.encoder)))
    assert not asked
    (tmp_path / "bundle" / PROCESSOR).write_bytes(b"{}")
    with pytest.raises(BundleError, match=f"is damaged: {PROCESSOR} is not what was written"):
        Bundle.load(tmp_path / "bundle")


@each_checkpoint
@pytest.mark.parametrize("finetune", ["full", "lora"])
def test_transformers_gives_the_outputs_of_the_bundle(
    workspace, folder, spec, finetune, monkeypatch
):
    model = started(folder, spec, finetune=finetune)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    bundle = bundled(model, spec)
    bundle.save(workspace / "models/bundle")
    monkeypatch.setattr(sys, "argv", ["export", "hf"])
    export.main()
    network = AutoModelForImageClassification.from_pretrained("models/hf").eval()
    with torch.inference_mode():
        expected = bundle.model(encoded(spec.encoder))
        found = network(expected_pixels("models/hf")).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.std(dim=0).min() > 1e-3
    assert network.config.id2label == {0: "animals", 1: "plants", 2: "stones"}


def test_a_processor_that_does_more_is_refused(folder, tmp_path):
    base = shutil.copytree(folder, tmp_path / "base")
    EfficientNetImageProcessorPil().save_pretrained(base)
    with pytest.raises(ConfigError, match="must only resize, crop, rescale and normalise"):
        spec_of(base)

"""Models of images, each on images of any size."""

import subprocess
import sys

import pytest
import torch
from miniature import compose
from toy_project.data.image import ImageSpec
from toy_project.models.base import Model, model_class, model_settings
from toy_project.models.pixels import augmentation
from toy_project.rules import ConfigError

AFFINE = {"name": "RandomAffine", "degrees": 30, "translate": [0.2, 0.2], "p": 1.0}
SIZES = [(1, 8, 8), (1, 1, 1), (3, 224, 224), (3, 5, 300)]


def build(name: str, *shape: int, **settings) -> Model:
    torch.manual_seed(0)
    spec = ImageSpec(*shape, mean=(0.4,) * shape[0], std=(0.2,) * shape[0])
    values = compose(f"model={name}").model | settings
    return model_class(name)(model_settings(values), spec, 3)


def images(*shape: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, shape, generator=draw, dtype=torch.uint8)


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("name", ["cnn", "vit"])
def test_a_model_reads_images_of_any_size(name, shape):
    model = build(name, *shape)
    outputs = model(images(2, *shape))
    assert outputs.shape == (2, 3)
    outputs.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    batch = images(3, *shape)
    assert torch.allclose(model(batch)[1], model(batch[1:2])[0], atol=1e-4)


def test_augmentations_change_training_alone():
    model = build("cnn", 1, 8, 8, augmentations=[AFFINE], dropout=0.0)
    plain = build("cnn", 1, 8, 8, augmentations=[], dropout=0.0)
    batch = images(4, 1, 8, 8)
    model.train()
    assert not torch.equal(model(batch), model(batch))
    assert torch.equal(model.eval()(batch), plain.eval()(batch))
    assert model.state_dict().keys() == plain.state_dict().keys()


def test_each_image_is_changed_in_its_own_way():
    augment = augmentation("model.augmentations[0]", AFFINE, (1, 8, 8))
    same = images(1, 1, 8, 8).expand(8, -1, -1, -1).float() / 255
    assert len({tuple(one.flatten().tolist()) for one in augment(same)}) == 8


def test_making_augmentations_draws_no_random_number():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    augment = augmentation("model.augmentations[0]", AFFINE, (1, 8, 8))
    assert torch.get_rng_state().equal(before)
    pixels = images(2, 1, 8, 8).float()
    augment(pixels)
    assert not torch.get_rng_state().equal(before)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"name": "RandomAfine"}], "model.augmentations[0].name must be an augmentation"),
        ([{"name": "RandomMixUpV2"}], "model.augmentations[0].name must be an augmentation"),
        ([AFFINE, {"name": "os"}], "model.augmentations[1].name must be an augmentation"),
        ([{"name": "RandomAffine"}], "model.augmentations[0]: RandomAffine says: "),
        ([{**AFFINE, "degree": 3}], "model.augmentations[0]: RandomAffine says: "),
        ([{"name": "CenterCrop", "size": 4}], "model.augmentations[0] must be one that keeps"),
        ([{"name": "ColorJitter", "hue": 3}], "model.augmentations[0]: ColorJitter says: "),
    ],
)
def test_a_wrong_augmentation_is_one_line(given, message):
    model = build("cnn", 1, 8, 8, augmentations=given)  # a server builds it and imports nothing
    with pytest.raises(ConfigError) as caught:
        model.train()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [["RandomAffine"], [{"degrees": 3}]])
def test_augmentations_have_names(given):
    with pytest.raises(ConfigError, match=r"^model.augmentations must be a list of {name: "):
        build("cnn", 1, 8, 8, augmentations=given)


PREDICTING = """
import sys
from toy_project.models.bundle import Bundle
from toy_project.serving.predictor import Predictor
bundle = Bundle.load(__import__("pathlib").Path("models/bundle"))
for backend in ("onnx", "torch"):
    Predictor(bundle, backend=backend).predict([bundle.spec.encoder.example])
assert bundle.model.config.augmentations
assert "kornia" not in sys.modules and "torchvision" not in sys.modules
"""


def test_a_prediction_needs_no_kornia(trained):
    subprocess.run([sys.executable, "-c", PREDICTING], cwd=trained, check=True)

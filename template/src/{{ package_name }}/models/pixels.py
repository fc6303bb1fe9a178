"""The input layer for images: bytes become normalised numbers, augmented in training."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from ..data.image import ImageSpec
from ..rules import Checked, ConfigError, Fraction, Name, Rule, require

AUGMENTATIONS = Rule(
    "a list of {name: a class of kornia.augmentation, <argument>: ...}",
    lambda given: all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in given),
)


@dataclass(frozen=True)
class ImageModelConfig(Checked, section="model"):
    """The settings of every model with this input layer."""

    name: Name
    """The file in models/ that holds the model."""
    augmentations: Annotated[list[Any], AUGMENTATIONS] = field(default_factory=list)
    """Changes of the training images, in order: `{name: <class of kornia.augmentation>,
    <argument>: ...}`."""
    dropout: Fraction = 0.1
    """Share of activations that are zeroed in training, in [0, 1)."""


class PixelInput(nn.Module):
    """Scales bytes to [0, 1], augments them in training, and gives each channel mean 0 and
    deviation 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ImageModelConfig, spec: ImageSpec) -> None:
        super().__init__()
        self.augmentations = config.augmentations
        self.shape = (spec.channels, spec.height, spec.width)
        # Not in the `state_dict`: the bundle keeps them in the encoder.
        for name in ("mean", "std"):
            values = torch.tensor(getattr(spec, name)).view(-1, 1, 1)  # [channels, 1, 1]
            self.register_buffer(name, values, persistent=False)
        self._steps: list[nn.Module] = []

    def train(self, mode: bool = True) -> "PixelInput":
        """Set the mode. Kornia is imported by the first training, so a server does not need it.

        Raises:
            ConfigError: There is no such augmentation, or it does not take these arguments.
        """
        if mode and not self._steps:
            self._steps = [
                augmentation(f"model.augmentations[{i}]", one, self.shape)
                for i, one in enumerate(self.augmentations)
            ]
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 [batch, channels, height, width] of bytes of that shape."""
        pixels = images.float() / 255
        if self.training and self._steps:
            pixels = _augmented(pixels, self._steps)
        return (pixels - self.mean) / self.std


@torch.compiler.disable
def _augmented(pixels: Tensor, steps: Iterable[nn.Module]) -> Tensor:
    """Return the pixels after each augmentation, computed in float32.

    Each image has random numbers of its own, from PyTorch's global generator, whose state a
    checkpoint holds.
    """
    with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
        for step in steps:
            pixels = step(pixels)
    return pixels


def augmentation(setting: str, given: Mapping[str, Any], shape: tuple[int, int, int]) -> nn.Module:
    """Return the augmentation that a setting describes, for images of this shape.

    Raises:
        ConfigError: It does not exist, or cannot be used with these arguments or this shape.
    """
    from kornia import augmentation as kornia

    name, tried = given["name"], torch.zeros(2, *shape)
    kind: Any = getattr(kornia, name, None)
    is_one = isinstance(kind, type) and issubclass(kind, kornia.AugmentationBase2D)
    require(is_one, f"{setting}.name", "an augmentation of images in kornia.augmentation", name)
    # YAML has no tuples, which Kornia takes as ranges.
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in given.items()
        if key != "name"
    }
    try:
        with torch.random.fork_rng(devices=[]):  # a trial must not move the generator on
            step = kind(**arguments)
            tried = step(tried)
    except Exception as error:  # Kornia raises errors of many types
        raise ConfigError(f"{setting}: {name} says: {error!s:.200}") from error
    require(tried.shape[1:] == shape, setting, f"one that keeps the size {shape}", name)
    return step

"""A small residual network (He et al. 2016, arXiv:1512.03385; pre-activation: arXiv:1603.05027)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor, nn

from ..data.image import ImageSpec
from ..rules import require, within
from .base import Model
from .pixels import ImageModelConfig, PixelInput

MAX_STEM_SIDE = 64
"""Pixels of each side after the first convolution, at most: larger images are strided over."""
GROUP_SIZE = 8
"""Channels that are normalised together."""


@dataclass(frozen=True)
class CNNConfig(ImageModelConfig):
    """The settings of the network, besides those of its input layer."""

    width: Annotated[int, within(GROUP_SIZE, 4096)] = 8
    """Channels of the first stage, a multiple of 8; each further stage has twice as many."""
    num_stages: Annotated[int, within(1, 8)] = 3
    """Stages; each but the first halves height and width."""
    num_blocks: Annotated[int, within(1, 100)] = 1
    """Residual blocks in each stage."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.width % GROUP_SIZE == 0, "model.width", f"n x {GROUP_SIZE}", self.width)


class CNN(Model):
    """Stages of residual blocks, the mean over all places, and a linear layer."""

    settings: ClassVar = CNNConfig

    def __init__(self, config: CNNConfig, spec: ImageSpec, num_outputs: int) -> None:
        super().__init__(config, spec, num_outputs)
        stride = -(-max(spec.height, spec.width) // MAX_STEM_SIDE)
        width = config.width
        stem = nn.Conv2d(spec.channels, width, 2 * stride + 1, stride, padding=stride, bias=False)
        blocks = []
        for stage in range(config.num_stages):
            for number in range(config.num_blocks):
                is_smaller = stage > 0 and number == 0
                blocks.append(Block(width, width * (1 + is_smaller), stride=1 + is_smaller))
                width *= 1 + is_smaller
        self.pixels = PixelInput(config, spec)
        self.features = nn.Sequential(stem, *blocks, norm(width), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of bytes [batch, channels, height, width]."""
        features = self.features(self.pixels(inputs))  # [batch, width, height', width']
        return self.head(features.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            norm(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            norm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        is_same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if is_same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Return features [batch, outputs, height / stride, width / stride]."""
        return self.shortcut(features) + self.layers(features)


def norm(channels: int) -> nn.Module:
    """Return a group norm (Wu & He 2018, arXiv:1803.08494).

    Unlike batch norm it does not depend on the other rows of a batch, so that parts of a batch, on
    one device or several, give the same gradients as the whole.
    """
    return nn.GroupNorm(channels // GROUP_SIZE, channels)

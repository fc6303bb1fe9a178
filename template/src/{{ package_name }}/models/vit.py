"""A small vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data.image import ImageSpec
from ..rules import NonNegativeInt
from .attention import AttentionConfig, EncoderLayer
from .base import Model
from .pixels import ImageModelConfig, PixelInput


@dataclass(frozen=True)
class ViTConfig(AttentionConfig, ImageModelConfig):
    """The settings of the encoder, besides those of its input layer."""

    patch_size: NonNegativeInt = 0
    """Pixels of a patch's side; 0 for the square root of the image's longer side."""


class ViT(Model):
    """A transformer encoder over patches, the mean of its outputs, and a linear layer."""

    settings: ClassVar = ViTConfig

    def __init__(self, config: ViTConfig, spec: ImageSpec, num_outputs: int) -> None:
        super().__init__(config, spec, num_outputs)
        hidden = config.hidden_size
        size = config.patch_size or math.isqrt(max(spec.height, spec.width))
        rows, columns = (-(-side // size) for side in (spec.height, spec.width))
        self.pixels = PixelInput(config, spec)
        # Zeros on the right and below, which is the mean of the data, complete the last patches.
        self.padding = nn.ZeroPad2d((0, columns * size - spec.width, 0, rows * size - spec.height))
        self.patches = nn.Conv2d(spec.channels, hidden, size, stride=size)
        self.positions = nn.Parameter(torch.empty(rows * columns, hidden))
        nn.init.normal_(self.positions, std=0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of bytes [batch, channels, height, width]."""
        patches = self.patches(self.padding(self.pixels(inputs)))  # [batch, hidden, rows, columns]
        hidden = self.dropout(patches.flatten(2).transpose(1, 2) + self.positions)
        for layer in self.layers:  # [batch, rows * columns, hidden]
            hidden = layer(hidden)
        return self.head(self.norm(hidden).mean(dim=1))

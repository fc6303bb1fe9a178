"""The FT-Transformer (Gorishniy et al. 2021, arXiv:2106.11959): each column is a token."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data.table import TableSpec
from .attention import AttentionConfig, EncoderLayer
from .base import Model
from .features import CategoryEmbedding, TableModelConfig


@dataclass(frozen=True)
class FeatureTransformerConfig(AttentionConfig, TableModelConfig):
    """The settings of the encoder, besides those of the input layer."""


class FeatureTransformer(Model):
    """A transformer encoder of columns, which is read at a token of its own."""

    settings: ClassVar = FeatureTransformerConfig

    def __init__(self, config: FeatureTransformerConfig, spec: TableSpec, num_outputs: int) -> None:
        super().__init__(config, spec, num_outputs)
        hidden, num_tokens = config.hidden_size, spec.num_numbers + len(spec.category_sizes)
        self.embedding = CategoryEmbedding(spec, hidden)
        self.directions = nn.Parameter(torch.empty(spec.num_numbers, hidden))
        self.biases = nn.Parameter(torch.empty(1 + num_tokens, hidden))  # the first is read
        for parameter in (self.directions, self.biases):
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self.head = nn.Sequential(nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of numbers and codes [batch, columns]."""
        numbers, categories = self.embedding(inputs)
        scaled = numbers.unsqueeze(-1) * self.directions  # [batch, numbers, hidden]
        # Not len(inputs), which an export would keep as a constant.
        read = inputs.new_zeros(inputs.shape[0], 1, scaled.shape[-1])
        hidden = torch.cat([read, scaled, categories], dim=1) + self.biases
        for layer in self.layers:
            hidden = layer(hidden)  # [batch, 1 + columns, hidden]
        return self.head(hidden[:, 0])

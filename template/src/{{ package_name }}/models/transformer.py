"""A transformer encoder beside a bag of its own input."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data.text import TextSpec
from .attention import AttentionConfig, EncoderLayer
from .base import Model
from .embedding import TextEmbedding, TextModelConfig, weighted_mean


@dataclass(frozen=True)
class TransformerConfig(AttentionConfig, TextModelConfig):
    """The settings of the encoder, besides those of its input layer."""


class Transformer(Model):
    """A linear layer on the mean of the encoder's output, concatenated with the bag of tokens."""

    settings: ClassVar = TransformerConfig

    def __init__(self, config: TransformerConfig, spec: TextSpec, num_outputs: int) -> None:
        super().__init__(config, spec, num_outputs)
        hidden = config.hidden_size
        self.embedding = TextEmbedding(config, spec)
        self.positions = nn.Parameter(torch.empty(spec.max_length, hidden))
        nn.init.normal_(self.positions, std=0.02)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(3 * hidden, num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of token ids [batch, length], where 0 is padding."""
        tokens, weights, bag = self.embedding(inputs)
        encoded = tokens + self.positions[: inputs.shape[1]]  # [batch, length, hidden]
        for layer in self.layers:
            encoded = layer(encoded, inputs != 0)
        pooled = torch.cat([weighted_mean(encoded, weights), bag], dim=-1)  # [batch, 3 * hidden]
        return self.head(self.dropout(pooled))

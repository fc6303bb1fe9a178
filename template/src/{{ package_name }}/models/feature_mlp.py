"""A multi-layer perceptron for tables."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from ..data.table import TableSpec
from ..rules import within
from .base import Model
from .features import CategoryEmbedding, TableModelConfig


@dataclass(frozen=True)
class FeatureMLPConfig(TableModelConfig):
    """The settings of the layers, besides those of the input layer."""

    num_layers: Annotated[int, within(1, 1000)] = 2
    """Hidden layers."""
    embedding_size: Annotated[int, within(1, 65_536)] = 8
    """Width of the vector of a category."""


class FeatureMLP(Model):
    """Hidden layers on the numbers and the vectors of categories, side by side."""

    settings: ClassVar = FeatureMLPConfig

    def __init__(self, config: FeatureMLPConfig, spec: TableSpec, num_outputs: int) -> None:
        super().__init__(config, spec, num_outputs)
        self.embedding = CategoryEmbedding(spec, config.embedding_size)
        width = spec.num_numbers + len(spec.category_sizes) * config.embedding_size
        layers: list[nn.Module] = []
        for _ in range(config.num_layers):
            layers += [nn.Linear(width, config.hidden_size), nn.GELU(), nn.Dropout(config.dropout)]
            width = config.hidden_size
        self.layers = nn.Sequential(*layers, nn.Linear(width, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of numbers and codes [batch, columns]."""
        numbers, categories = self.embedding(inputs)
        return self.layers(torch.cat([numbers, categories.flatten(1)], dim=1))

"""The input layer for tables: numbers as they are, and a vector for each category."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from ..data.column import KNOWN
from ..data.table import TableSpec
from ..rules import Checked, Fraction, Name, within


@dataclass(frozen=True)
class TableModelConfig(Checked, section="model"):
    """The settings of every model with this input layer."""

    name: Name
    """The file in models/ that holds the model."""
    hidden_size: Annotated[int, within(1, 65_536)] = 64
    """Width of the layers."""
    dropout: Fraction = 0.1
    """Share of activations that are zeroed in training, in [0, 1)."""


class CategoryEmbedding(nn.Module):
    """Embeds the codes of all columns in one table.

    Codes that never occur in training stay 0: a new category says nothing.
    """

    starts: Tensor
    """The row of each column's first code: [categories]."""

    def __init__(self, spec: TableSpec, size: int) -> None:
        super().__init__()
        ends = torch.tensor((0, *spec.category_sizes)).cumsum(0)
        self.num_numbers = spec.num_numbers
        self.register_buffer("starts", ends[:-1], persistent=False)
        self.vectors = nn.Embedding(int(ends[-1]), size)
        nn.init.normal_(self.vectors.weight, std=size**-0.5)
        for start in ends[:-1].tolist():
            nn.init.zeros_(self.vectors.weight.detach()[start : start + KNOWN])

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return numbers [batch, numbers], and the vectors [batch, categories, size] of codes.

        `inputs` [batch, numbers + categories] has the numbers first.
        """
        numbers, codes = inputs.tensor_split([self.num_numbers], dim=1)
        return numbers, self.vectors(codes.long() + self.starts)

"""A bag of tokens and token pairs with one hidden layer: fast, and strong on small data."""

from typing import ClassVar

from torch import Tensor, nn

from ..data.text import TextSpec
from .base import Model
from .embedding import TextEmbedding, TextModelConfig


class MLP(Model):
    """A hidden layer between the bag of tokens and the outputs."""

    settings: ClassVar = TextModelConfig

    def __init__(self, config: TextModelConfig, spec: TextSpec, num_outputs: int) -> None:
        super().__init__(config, spec, num_outputs)
        width = 2 * config.hidden_size
        self.embedding = TextEmbedding(config, spec)
        self.head = nn.Sequential(
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, num_outputs),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of token ids [batch, length], where 0 is padding."""
        return self.head(self.embedding(inputs).bag)

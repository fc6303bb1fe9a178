"""A bag of tokens and token pairs under one hidden layer: fast, and hard to beat on small data."""

from torch import Tensor, nn

from ..config import ModelConfig
from ..data.spec import DataSpec
from .base import Model
from .embedding import TextEmbedding


class MLP(Model):
    """The bag through a hidden layer to logits."""

    def __init__(self, config: ModelConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        width = 2 * config.hidden_size
        self.embedding = TextEmbedding(config, spec)
        self.head = nn.Sequential(
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, spec.num_classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits [batch, classes] of token ids [batch, length], where 0 is padding."""
        return self.head(self.embedding(inputs).bag)

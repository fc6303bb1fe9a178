"""A bag of tokens and token pairs under one hidden layer: fast, and hard to beat on small data."""

from torch import Tensor, nn

from ..config import ModelConfig
from ..data.spec import DataSpec
from .base import Model
from .embedding import TextEmbedding


class MLP(Model):
    """Mean embeddings, one hidden layer, logits."""

    def __init__(self, config: ModelConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        hidden = config.hidden_size
        self.embedding = TextEmbedding(
            spec.num_embeddings, hidden, num_bigram_buckets=config.num_bigram_buckets
        )
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(2 * hidden, hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, spec.num_classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits [batch, classes] of token ids [batch, length], where 0 is padding."""
        return self.head(self.embedding(inputs).bag)

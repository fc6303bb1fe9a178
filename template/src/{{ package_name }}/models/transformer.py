"""A pre-norm transformer encoder beside a bag of its own input (Vaswani et al. 2017,
arXiv:1706.03762; Xiong et al. 2020, arXiv:2002.04745).
"""

import torch
from torch import Tensor, nn

from ..config import TransformerConfig
from ..data.spec import DataSpec
from .base import Model
from .embedding import TextEmbedding, weighted_mean


class Transformer(Model):
    """The mean of the encoder's output joins the bag in a linear classifier."""

    def __init__(self, config: TransformerConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        hidden = config.hidden_size
        self.embedding = TextEmbedding(config, spec)
        self.positions = nn.Parameter(0.02 * torch.randn(spec.max_length, hidden))
        layer = nn.TransformerEncoderLayer(
            hidden,
            config.num_heads,
            config.feedforward_size,
            config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, config.num_layers, enable_nested_tensor=False)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(3 * hidden, spec.num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits [batch, classes] of token ids [batch, length], where 0 is padding."""
        tokens, weights, bag = self.embedding(inputs)
        placed = tokens + self.positions[: inputs.shape[1]]  # [batch, length, hidden]
        encoded = self.encoder(placed, src_key_padding_mask=inputs == 0)
        pooled = torch.cat([weighted_mean(encoded, weights), bag], dim=-1)  # [batch, 3 * hidden]
        return self.head(self.dropout(pooled))

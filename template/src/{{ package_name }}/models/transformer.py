"""A pre-norm transformer encoder beside a bag of its own input (Vaswani et al. 2017,
arXiv:1706.03762; Xiong et al. 2020, arXiv:2002.04745).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.text import TextSpec
from ..rules import PositiveInt, require, within
from .base import Model
from .embedding import TextEmbedding, TextModelConfig, weighted_mean


@dataclass(frozen=True)
class TransformerConfig(TextModelConfig):
    """The settings of the encoder, besides those of its input layer."""

    num_layers: Annotated[int, within(1, 1000)] = 2
    """Encoder layers."""
    num_heads: PositiveInt = 4
    """Attention heads; must divide `hidden_size`."""
    feedforward_size: Annotated[int, within(1, 2**20)] = 256
    """Width of each block's feed-forward network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        divisor = f"a divisor of model.hidden_size={self.hidden_size}"
        require(self.hidden_size % self.num_heads == 0, "model.num_heads", divisor, self.num_heads)


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


class EncoderLayer(nn.Module):
    """A pre-norm block: self-attention, then a feed-forward network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.feedforward_size
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(hidden)
        self.feedforward = nn.Sequential(
            nn.Linear(hidden, inner),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(inner, hidden),
        )
        self.feedforward_norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, is_token: Tensor) -> Tensor:
        """Return vectors like `hidden` [batch, length, hidden]; padding is not attended to."""
        attended = self.attention(self.attention_norm(hidden), is_token)
        hidden = hidden + self.dropout(attended)
        return hidden + self.dropout(self.feedforward(self.feedforward_norm(hidden)))


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.projection = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, is_token: Tensor) -> Tensor:
        """Return the attended values [batch, length, hidden] of vectors like `hidden`."""
        projected = self.projection(hidden).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # [batch, heads, length, head size]
        gathered = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=is_token[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.output(gathered.transpose(1, 2).flatten(2))

"""A pre-norm transformer layer (Vaswani et al. 2017, arXiv:1706.03762; Xiong et al. 2020,
arXiv:2002.04745).
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..rules import Checked, Fraction, Name, PositiveInt, require, within


@dataclass(frozen=True)
class AttentionConfig(Checked, section="model"):
    """The settings of a stack of encoder layers."""

    name: Name
    """The file in models/ that holds the model."""
    hidden_size: Annotated[int, within(1, 65_536)] = 64
    """Width of the embeddings and of the layers after them."""
    dropout: Fraction = 0.3
    """Share of activations that are zeroed in training, in [0, 1)."""
    num_layers: Annotated[int, within(1, 1000)] = 2
    """Encoder layers."""
    num_heads: PositiveInt = 4
    """Attention heads; must divide `hidden_size`."""
    feedforward_size: Annotated[int, within(1, 2**20)] = 256
    """Width of each layer's feed-forward network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        divisor = f"a divisor of model.hidden_size={self.hidden_size}"
        require(self.hidden_size % self.num_heads == 0, "model.num_heads", divisor, self.num_heads)


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network."""

    def __init__(self, config: AttentionConfig) -> None:
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

    def forward(self, hidden: Tensor, is_token: Tensor | None = None) -> Tensor:
        """Return vectors like `hidden` [batch, length, hidden].

        Where `is_token` [batch, length] is false there is padding, which is not attended to.
        """
        attended = self.attention(self.attention_norm(hidden), is_token)
        hidden = hidden + self.dropout(attended)
        return hidden + self.dropout(self.feedforward(self.feedforward_norm(hidden)))


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.projection = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, is_token: Tensor | None = None) -> Tensor:
        """Return the attended values [batch, length, hidden] of vectors like `hidden`."""
        projected = self.projection(hidden).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # [batch, heads, length, head size]
        mask = None
        if is_token is not None:
            # As numbers: exports of a mask of booleans are slower, they guard rows without a token.
            mask = torch.where(is_token[:, None, None, :], 0.0, -torch.inf).to(query)
        gathered = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0
        )
        return self.output(gathered.transpose(1, 2).flatten(2))

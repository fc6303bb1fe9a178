"""A pre-norm transformer encoder beside a bag of tokens and token pairs (Vaswani et al. 2017,
arXiv:1706.03762; Xiong et al. 2020, arXiv:2002.04745).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..config import TransformerConfig
from ..data.spec import DataSpec
from .base import Model
from .embedding import TextEmbedding, masked_mean


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each on normalised input and added to it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.attention_norm = nn.LayerNorm(hidden)
        self.query_key_value = nn.Linear(hidden, 3 * hidden)
        self.output = nn.Linear(hidden, hidden)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, config.feedforward_size),
            nn.GELU(),
            nn.Linear(config.feedforward_size, hidden),
            nn.Dropout(config.dropout),
        )

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Return vectors [batch, length, hidden]; `mask` [batch, length] is true where to look."""
        vectors = vectors + self.attend(self.attention_norm(vectors), mask)
        return vectors + self.feedforward(vectors)

    def attend(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Return what each position gathers from the unmasked ones: [batch, length, hidden]."""
        batch, length, hidden = vectors.shape
        heads = self.query_key_value(vectors).view(batch, length, 3, self.num_heads, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [batch, heads, length, size]
        gathered = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask[:, None, None, :],  # [batch, 1, 1, length]
            dropout_p=self.dropout if self.training else 0.0,
        )
        gathered = gathered.transpose(1, 2).reshape(batch, length, hidden)
        return functional.dropout(self.output(gathered), self.dropout, self.training)


class Transformer(Model):
    """Token vectors through the blocks, averaged, beside the bag, to logits."""

    def __init__(self, config: TransformerConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        hidden = config.hidden_size
        self.embedding = TextEmbedding(
            spec.num_embeddings, hidden, num_bigram_buckets=config.num_bigram_buckets
        )
        self.positions = nn.Parameter(0.02 * torch.randn(spec.max_length, hidden))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(3 * hidden, spec.num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits [batch, classes] of token ids [batch, length], where 0 is padding."""
        tokens, mask, bag = self.embedding(inputs)
        vectors = tokens + self.positions[: inputs.shape[1]]  # [batch, length, hidden]
        for block in self.blocks:
            vectors = block(vectors, mask)
        context = masked_mean(self.norm(vectors), mask)  # [batch, hidden]
        return self.head(self.dropout(torch.cat([context, bag], dim=-1)))

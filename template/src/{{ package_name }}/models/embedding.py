"""The models' input layer for text: vectors of tokens and of token pairs."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

_HASH_MULTIPLIER = 1_000_003


class Embedded(NamedTuple):
    """A batch of texts as vectors."""

    tokens: Tensor
    """[batch, length, hidden]."""
    mask: Tensor
    """[batch, length], true where there is a token."""
    bag: Tensor
    """[batch, 2 * hidden]: the mean of the token vectors beside the mean of the pair vectors."""


class TextEmbedding(nn.Module):
    """Embeds tokens, and pairs of neighbours by hash (Joulin et al. 2017, arXiv:1607.01759)."""

    def __init__(self, num_embeddings: int, hidden_size: int, *, num_bigram_buckets: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(num_embeddings, hidden_size, padding_idx=0)
        self.bigrams = nn.Embedding(num_bigram_buckets, hidden_size)
        nn.init.normal_(self.tokens.weight, std=0.1)
        nn.init.normal_(self.bigrams.weight, std=0.1)

    def forward(self, ids: Tensor) -> Embedded:
        """Return the vectors of `ids` [batch, length], where 0 is padding."""
        mask = ids != 0
        tokens = self.tokens(ids)  # [batch, length, hidden]
        buckets = (ids[:, :-1] * _HASH_MULTIPLIER + ids[:, 1:]) % self.bigrams.num_embeddings
        bigrams = masked_mean(self.bigrams(buckets), mask[:, 1:])  # [batch, hidden]
        bag = torch.cat([masked_mean(tokens, mask), bigrams], dim=-1)  # [batch, 2 * hidden]
        return Embedded(tokens, mask, bag)


def masked_mean(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [batch, hidden] of vectors [batch, length, hidden] where `mask` is true."""
    weights = mask.unsqueeze(-1).to(vectors.dtype)  # [batch, length, 1]
    return (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)

"""The input layer for text: token vectors, their weights, and a bag of them."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from ..data.text import TextSpec
from ..rules import Checked, Fraction, Name, within

HASH_MULTIPLIER = 1_000_003


@dataclass(frozen=True)
class TextModelConfig(Checked, section="model"):
    """The settings of every model with this input layer."""

    name: Name
    """The file in models/ that holds the model."""
    hidden_size: Annotated[int, within(1, 65_536)] = 64
    """Width of the embeddings and of the layers after them."""
    num_bigram_buckets: Annotated[int, within(1, 2**30)] = 32_768
    """Rows of the hashed embedding of token pairs."""
    word_dropout: Fraction = 0.5
    """Share of tokens that are dropped in training, in [0, 1)."""
    dropout: Fraction = 0.3
    """Share of activations that are zeroed in training, in [0, 1)."""


class Embedded(NamedTuple):
    """A batch of texts as vectors."""

    tokens: Tensor
    """[batch, length, hidden]."""
    weights: Tensor
    """[batch, length, 1]; 0 for padding and for dropped tokens."""
    bag: Tensor
    """[batch, 2 * hidden]: the mean token beside the mean pair of neighbours."""


class TextEmbedding(nn.Module):
    """Embeds tokens, and pairs of neighbours by hash (Joulin et al. 2017, arXiv:1607.01759).

    A learned weight lets `socket` count for more than `the`. Ids rise as tokens get rarer, so by
    Zipf's law the logarithm of an id is about the inverse document frequency: weights start there.
    """

    def __init__(self, config: TextModelConfig, spec: TextSpec) -> None:
        super().__init__()
        self.word_dropout = config.word_dropout
        self.tokens = nn.Embedding(spec.num_embeddings, config.hidden_size)
        self.bigrams = nn.Embedding(config.num_bigram_buckets, config.hidden_size)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.bigrams.weight, std=0.02)
        rarity = torch.arange(spec.num_embeddings).clamp(min=1).log()
        rarity = rarity / rarity.max().clamp(min=1)
        self.weights = nn.Embedding.from_pretrained(rarity.unsqueeze(-1), freeze=False)

    def forward(self, ids: Tensor) -> Embedded:
        """Return the vectors of `ids` [batch, length], where 0 is padding."""
        if self.training:
            ids = ids.masked_fill(torch.rand(ids.shape, device=ids.device) < self.word_dropout, 0)
        present = (ids != 0).unsqueeze(-1)  # [batch, length, 1]
        tokens, weights = self.tokens(ids), self.weights(ids) * present
        buckets = (ids[:, :-1] * HASH_MULTIPLIER + ids[:, 1:]) % self.bigrams.num_embeddings
        pairs = (present[:, :-1] & present[:, 1:]).to(tokens.dtype)  # [batch, length - 1, 1]
        bag = [weighted_mean(tokens, weights), weighted_mean(self.bigrams(buckets), pairs)]
        return Embedded(tokens, weights, torch.cat(bag, dim=-1))


def weighted_mean(vectors: Tensor, weights: Tensor) -> Tensor:
    """Return the mean [batch, hidden] of vectors [batch, length, hidden].

    Weights [batch, length, 1] that sum to less than 1 scale the mean down.
    """
    return (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)

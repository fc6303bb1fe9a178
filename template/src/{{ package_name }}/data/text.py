"""Texts as token ids, which beyond this file only models/embedding.py and a server know."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Self

from ..rules import Rule, check, require, typed

PADDING, UNKNOWN = 0, 1
MAX_TOKENS = Rule("in [1, 2**31)", lambda number: 1 <= number < 2**31)
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def tokenize(text: str) -> Iterator[str]:
    """Yield lower-case words and numbers; `camelCase` and `snake_case` come apart.

    A script that writes without spaces between words gives one token per run of letters.
    """
    return (match[0].lower() for match in _TOKEN.finditer(_CAMEL_HUMP.sub(" ", text)))


@dataclass(frozen=True)
class _Saved:
    """An encoder as JSON."""

    max_tokens: int
    tokens: list[str]


@dataclass(frozen=True)
class TextEncoder:
    """Maps a text to the ids of its tokens."""

    vocabulary: dict[str, int]
    """Ids rise from 2 as tokens get rarer; 0 is padding, 1 an unknown token."""
    max_tokens: int
    """Length at which a text is cut."""

    def __post_init__(self) -> None:
        check("encoder", self, max_tokens=MAX_TOKENS)

    @classmethod
    def fit(cls, texts: Iterable[str], *, max_tokens: int, min_count: int) -> Self:
        """Return an encoder that knows the tokens that `texts` hold `min_count` times and more."""
        counts = Counter(token for text in texts for token in tokenize(text))
        known = [token for token in counts if counts[token] >= min_count]
        return cls(_numbered(sorted(known, key=lambda t: (-counts[t], t))), max_tokens)

    @property
    def num_embeddings(self) -> int:
        """One more than the largest id."""
        return len(self.vocabulary) + UNKNOWN + 1

    def encode(self, text: str) -> list[int]:
        """Return 1 to `max_tokens` ids; a text without a token is one unknown token."""
        tokens = islice(tokenize(text), self.max_tokens)
        return [self.vocabulary.get(token, UNKNOWN) for token in tokens] or [UNKNOWN]

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON values."""
        return asdict(_Saved(self.max_tokens, list(self.vocabulary)))

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Return the encoder that `to_dict` described.

        Raises:
            ConfigError: It described none.
        """
        saved = typed("encoder", _Saved, values)
        encoder = cls(_numbered(saved.tokens), saved.max_tokens)
        num_twice = len(saved.tokens) - len(encoder.vocabulary)
        require(not num_twice, "encoder.tokens", "different", f"{num_twice} twice")
        return encoder


def _numbered(tokens: Iterable[str]) -> dict[str, int]:
    return {token: id for id, token in enumerate(tokens, start=UNKNOWN + 1)}

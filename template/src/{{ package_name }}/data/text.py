"""Texts as token ids. Beyond this file only models/embedding.py and serving/schema.py know it."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

PADDING, UNKNOWN = 0, 1
_TOKEN = re.compile(r"[a-z]+|[0-9]+|[^\sa-z0-9]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def tokenize(text: str) -> list[str]:
    """Return lower-case words, numbers and signs; `camelCase` and `snake_case` come apart."""
    return _TOKEN.findall(_CAMEL.sub(" ", text).lower())


@dataclass(frozen=True)
class TextEncoder:
    """Maps a text to the ids of its tokens."""

    vocabulary: dict[str, int]
    max_tokens: int

    @classmethod
    def fit(cls, texts: Iterable[str], *, max_tokens: int, min_count: int) -> Self:
        """Return an encoder that knows the tokens that `texts` hold `min_count` times and more."""
        counts = Counter(token for text in texts for token in tokenize(text))
        known = sorted(token for token, count in counts.items() if count >= min_count)
        return cls({token: id for id, token in enumerate(known, start=UNKNOWN + 1)}, max_tokens)

    @property
    def num_embeddings(self) -> int:
        """One more than the largest id."""
        return len(self.vocabulary) + UNKNOWN + 1

    def encode(self, text: str) -> list[int]:
        """Return 1 to `max_tokens` ids; a text without a token is one unknown token."""
        tokens = tokenize(text)[: self.max_tokens]
        return [self.vocabulary.get(token, UNKNOWN) for token in tokens] or [UNKNOWN]

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON values."""
        return {"max_tokens": self.max_tokens, "tokens": list(self.vocabulary)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the encoder that `to_dict` described."""
        ids = {token: id for id, token in enumerate(values["tokens"], start=UNKNOWN + 1)}
        return cls(ids, values["max_tokens"])

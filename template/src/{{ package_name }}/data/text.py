"""Texts as token ids."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, ClassVar, Self

from ..rules import AT_LEAST_ONE, Rule, check, require, typed
from .encoder import Encoder, Field
from .rows import Values

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
class TextEncoderConfig:
    """How a text becomes tokens."""

    name: str = "text"
    """This file."""
    max_tokens: int = 128
    """Length in tokens at which a text is cut."""
    min_count: int = 2
    """How often a token must occur in the training split to enter the vocabulary."""

    def __post_init__(self) -> None:
        check("data.encoder", self, max_tokens=MAX_TOKENS, min_count=AT_LEAST_ONE)


@dataclass(frozen=True)
class TextSpec:
    """What a model must know of its inputs."""

    num_embeddings: int
    """Token ids lie in [0, num_embeddings), frequent ones first; 0 is padding."""
    max_length: int
    """Tokens of the longest input."""


@dataclass(frozen=True)
class _Saved:
    """An encoder as JSON."""

    name: str
    max_tokens: int
    tokens: list[str]


@dataclass(frozen=True)
class TextEncoder(Encoder):
    """Maps a text to the ids of its tokens."""

    settings: ClassVar = TextEncoderConfig
    columns: ClassVar = ("text",)
    example: ClassVar = {"text": "an example"}

    vocabulary: dict[str, int]
    """Ids rise from 2 as tokens get rarer; 0 is padding, 1 an unknown token."""
    max_tokens: int
    """Length at which a text is cut."""

    def __post_init__(self) -> None:
        check("encoder", self, max_tokens=MAX_TOKENS)

    @staticmethod
    def problem(values: Values) -> str:
        """Return that a text is empty, where it is."""
        return "" if values["text"] else "the text is empty"

    @staticmethod
    def fields() -> Mapping[str, Field]:
        """Return the one field of a request."""
        return {"text": Field(str, {"min_length": 1, "pattern": r"\S"})}

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: TextEncoderConfig) -> Self:
        """Return an encoder that knows the tokens that occur `min_count` times and more."""
        counts = Counter(token for row in rows for token in tokenize(row["text"]))
        known = [token for token in counts if counts[token] >= settings.min_count]
        ordered = sorted(known, key=lambda token: (-counts[token], token))
        return cls(_numbered(ordered), settings.max_tokens)

    @property
    def spec(self) -> TextSpec:
        """The range of the ids and the greatest length."""
        return TextSpec(len(self.vocabulary) + UNKNOWN + 1, self.max_tokens)

    def encode(self, values: Values) -> list[int]:
        """Return 1 to `max_tokens` ids; a text without a token is one unknown token."""
        tokens = islice(tokenize(values["text"]), self.max_tokens)
        return [self.vocabulary.get(token, UNKNOWN) for token in tokens] or [UNKNOWN]

    def features(self) -> tuple[str, Any]:
        """Return TF-IDF of words and word pairs."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            preprocessor=lambda row: row["text"].lower(),
            sublinear_tf=True,
            ngram_range=(1, 2),
            min_df=2,
        )
        return "tfidf", vectorizer

    def limits(self) -> list[str]:
        """Return where a text is cut."""
        return [f"It reads the first {self.max_tokens} tokens of a text."]

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON values."""
        return asdict(_Saved(self.name, self.max_tokens, list(self.vocabulary)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
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

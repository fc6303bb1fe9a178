"""Texts as token ids."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, ClassVar, Self

from ..rules import Checked, PositiveInt, Rule, within
from .encoder import Encoder, Field
from .rows import Values

PADDING, UNKNOWN = 0, 1
Length = Annotated[int, within(1, 2**31)]
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Unit(StrEnum):
    """What a token is."""

    word = "word"
    character = "character"
    byte = "byte"


def tokenize(text: str, unit: Unit = Unit.word) -> Iterator[str]:
    """Yield the tokens of a text.

    Words are runs of letters or of digits, in lower case; `camelCase` and `snake_case` are split.
    Characters are in lower case too. Bytes are those of UTF-8, as the Latin-1 characters with their
    numbers.
    """
    if unit is Unit.character:
        return iter(text.lower())
    if unit is Unit.byte:
        return iter(text.encode("utf-8", "replace").decode("latin-1"))
    return (match[0].lower() for match in _TOKEN.finditer(_CAMEL_HUMP.sub(" ", text)))


def joined(text: str | Mapping[str, Any]) -> str:
    """Return the text of a row; those of several columns are joined by lines."""
    if isinstance(text, str):
        return text
    return "\n".join(str(part) for part in text.values() if part is not None)


@dataclass(frozen=True)
class TextEncoderConfig(Checked, section="data.encoder"):
    """How a text becomes tokens."""

    name: str = "text"
    """This file."""
    unit: Unit = Unit.word
    """`character` or `byte` for a language without spaces between words, with more `max_tokens`."""
    max_tokens: Length = 128
    """Length in tokens at which a text is cut."""
    min_count: PositiveInt = 2
    """How often a token must occur in the training split to enter the vocabulary, which always has
    all bytes."""


@dataclass(frozen=True)
class TextSpec:
    """What a model needs to know about its inputs."""

    num_embeddings: int
    """Token ids lie in [0, num_embeddings), frequent ones first; 0 is padding."""
    max_length: int
    """Tokens of the longest input."""


@dataclass(frozen=True)
class TextEncoder(Encoder):
    """Maps a text to the ids of its tokens."""

    settings: ClassVar = TextEncoderConfig
    columns: ClassVar = ("text",)

    max_tokens: Length
    """Length at which a text is cut."""
    tokens: Annotated[tuple[str, ...], Rule("different", lambda each: len(set(each)) == len(each))]
    """The vocabulary, frequent tokens first."""
    unit: Unit = Unit.word
    """What a token is."""

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token; 0 is padding, 1 an unknown token."""
        return {token: id for id, token in enumerate(self.tokens, start=UNKNOWN + 1)}

    @staticmethod
    def problem(values: Values) -> str:
        """Return an error message if the text is empty or no text, else an empty string."""
        text = values["text"]
        if text is not None and not isinstance(text, str | dict):
            return f"the text is not text: {text!r:.100}"
        return "" if text and joined(text).strip() else "the text is empty"

    @property
    def example(self) -> Values:
        """A sample text."""
        return {"text": "an example"}

    def fields(self) -> Mapping[str, Field]:
        """Return the one field of a request."""
        return {"text": Field(str, {"min_length": 1, "pattern": r"\S"})}

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: TextEncoderConfig) -> Self:
        """Return an encoder with the tokens that occur at least `min_count` times."""
        unit = settings.unit
        counts = Counter(token for row in rows for token in tokenize(joined(row["text"]), unit))
        known = [token for token in counts if counts[token] >= settings.min_count]
        if unit is Unit.byte:
            known = [chr(byte) for byte in range(256)]
        ordered = sorted(known, key=lambda token: (-counts[token], token))
        return cls(settings.max_tokens, tuple(ordered), unit)

    @property
    def spec(self) -> TextSpec:
        """The range of the ids and the maximum length."""
        return TextSpec(len(self.tokens) + UNKNOWN + 1, self.max_tokens)

    def encode(self, values: Values) -> list[int]:
        """Return 1 to `max_tokens` ids; a text without a token is one unknown token."""
        tokens = islice(tokenize(joined(values["text"]), self.unit), self.max_tokens)
        return [self.ids.get(token, UNKNOWN) for token in tokens] or [UNKNOWN]

    def features(self) -> Mapping[str, tuple[str, Any]]:
        """Return TF-IDF of words and word pairs, or of runs of up to three characters."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            preprocessor=lambda row: joined(row["text"]).lower(),
            analyzer="word" if self.unit is Unit.word else "char",
            sublinear_tf=True,
            ngram_range=(1, 2) if self.unit is Unit.word else (1, 3),
            min_df=2,
        )
        return {"linear": ("tfidf", vectorizer)}

    def shown(self, values: Values) -> Mapping[str, Any]:
        """Return the text, or the text of each column."""
        text = values["text"]
        return text if isinstance(text, dict) else {"text": text}

    def measures(self, values: Values) -> Mapping[str, float]:
        """Return the length, and the share of tokens that are not in the vocabulary."""
        ids = self.encode(values)
        unknown = ids.count(UNKNOWN) / len(ids)
        return {
            "characters": len(joined(values["text"])),
            "tokens": len(ids),
            "unknown_share": unknown,
        }

    def limits(self) -> list[str]:
        """Return a sentence about the length at which a text is cut."""
        return [f"It reads the first {self.max_tokens} {self.unit}s of a text."]

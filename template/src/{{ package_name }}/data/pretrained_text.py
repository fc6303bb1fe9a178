"""Texts as the token ids of a pretrained model's own tokenizer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..rules import Checked, Name, NonNegativeInt, require
from .encoder import Field
from .pretrained import (
    SETTINGS_FILES,
    PretrainedEncoder,
    PretrainedSpec,
    checkpoint_folder,
    saved_files,
)
from .rows import Values
from .text import Length, TextEncoder, joined

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class PretrainedTextConfig(Checked, section="data.encoder"):
    """How a text becomes tokens."""

    name: str = "pretrained_text"
    """This file."""
    checkpoint: Name = "distilbert/distilbert-base-uncased"
    """The pretrained model: a folder, or the id of a model on the hub."""
    max_tokens: Length = 128
    """Length in tokens, the special ones included, at which a text is cut."""


@dataclass(frozen=True)
class PretrainedTextSpec(PretrainedSpec):
    """The checkpoint's architecture and the id of its padding."""

    head: ClassVar = "AutoModelForSequenceClassification"

    padding_id: int
    max_length: int
    """Tokens of the longest input."""

    def arguments(self, inputs: "Tensor") -> "dict[str, Tensor]":
        """Return ids and mask of `inputs` [batch, length]: ids plus 1, where 0 is padding."""
        is_padding = inputs == 0
        ids = (inputs - 1).masked_fill(is_padding, self.padding_id)
        return {"input_ids": ids, "attention_mask": (~is_padding).long()}


@dataclass(frozen=True)
class PretrainedTextEncoder(PretrainedEncoder):
    """Maps a text to the ids of its tokens, plus 1: a `Split` pads with 0, which is a token."""

    settings: ClassVar = PretrainedTextConfig
    columns: ClassVar = ("text",)

    max_tokens: Length
    """Length at which a text is cut."""
    padding_id: NonNegativeInt

    problem = staticmethod(TextEncoder.problem)

    @property
    def words(self) -> TextEncoder:
        """An encoder of words, for what does not depend on the tokens."""
        return TextEncoder(self.max_tokens, ())

    @property
    def example(self) -> Values:
        """A sample text."""
        return self.words.example

    def fields(self) -> Mapping[str, Field]:
        """Return the one field of a request."""
        return self.words.fields()

    def features(self) -> Mapping[str, tuple[str, Any]]:
        """Return TF-IDF of words and word pairs."""
        return self.words.features()

    def shown(self, values: Values) -> Mapping[str, Any]:
        """Return the text, or the text of each column."""
        return self.words.shown(values)

    def measures(self, values: Values) -> Mapping[str, float]:
        """Return the length in characters and in tokens."""
        return {"characters": len(joined(values["text"])), "tokens": len(self.encode(values))}

    def limits(self) -> list[str]:
        """Return a sentence about the length at which a text is cut."""
        return [f"It reads the first {self.max_tokens} tokens of a text."]

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: PretrainedTextConfig) -> Self:
        """Return an encoder with the checkpoint's tokenizer; it learns nothing from the rows.

        Raises:
            ConfigError: The checkpoint cannot be loaded, or reads fewer tokens than `max_tokens`.
        """
        from transformers import AutoConfig, AutoTokenizer

        with checkpoint_folder(settings.checkpoint, SETTINGS_FILES) as folder:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            has_file = tokenizer is not None and tokenizer.is_fast
            require(has_file, "model.checkpoint", f"one with a {TOKENIZER}", settings.checkpoint)
        longest = min(tokenizer.model_max_length, _num_positions(config))
        least = tokenizer.num_special_tokens_to_add() + 1
        require(
            least <= settings.max_tokens <= longest,
            "data.encoder.max_tokens",
            f"in [{least}, {longest}] for {settings.checkpoint}",
            settings.max_tokens,
        )
        # A decoder may have no padding, but its classifier finds a text's last token by it.
        ids = tokenizer.pad_token_id, config.pad_token_id, tokenizer.eos_token_id, 0
        padding_id = next(id for id in ids if id is not None and id >= 0)
        config.pad_token_id = tokenizer.pad_token_id = padding_id
        tokenizer.model_max_length = settings.max_tokens
        return cls(saved_files(config, tokenizer), settings.max_tokens, padding_id)

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The checkpoint's tokenizer, which cuts texts and adds the special tokens."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_buffer(self.contents[TOKENIZER])
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    @property
    def spec(self) -> PretrainedTextSpec:
        """The checkpoint's architecture and the id of its padding."""
        return PretrainedTextSpec(self.architecture, self.padding_id, self.max_tokens)

    def encode(self, values: Values) -> list[int]:
        """Return 1 to `max_tokens` ids, each plus 1."""
        ids = self.tokenizer.encode(joined(values["text"])).ids or [self.padding_id]
        return [id + 1 for id in ids]


def _num_positions(config: Any) -> int:
    """Return the length of the longest text that a model with learned positions can read."""
    return getattr(config, "max_position_embeddings", None) or 2**31

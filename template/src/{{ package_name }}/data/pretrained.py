"""Encoders of pretrained models, with the files that a model needs beside its weights."""

import json
import logging
from abc import abstractmethod
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..rules import ConfigError, typed
from .encoder import Encoder

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
SETTINGS_FILES = ("*.json", "*.txt", "*.model")
WEIGHTS_FILES = ("*.json", "*.safetensors")
"""What is downloaded of a model on the hub. A pickle is neither downloaded nor read."""


@contextmanager
def checkpoint_folder(checkpoint: str, patterns: Iterable[str]) -> Generator[Path]:
    """Yield the folder of a checkpoint: a local one, or a copy of these files of one on the hub.

    No code of a checkpoint is run: `trust_remote_code` must stay false.

    Raises:
        ConfigError: There is no such checkpoint, the hub does not answer, or what the block loads
            cannot be used.
    """
    from huggingface_hub import snapshot_download

    quieten()
    try:
        folder = Path(checkpoint)
        if not folder.is_dir():
            nested = "*/*"  # copies of the weights in other formats
            wanted = [*patterns]
            found = snapshot_download(checkpoint, allow_patterns=wanted, ignore_patterns=nested)
            folder = Path(found)
        yield folder
    except ConfigError:
        raise
    except Exception as error:  # the hub's library has dozens of them
        reason = " ".join(str(error).split())[:200]
        expected = "a folder, or a model on the hub, that transformers can load"
        message = f"model.checkpoint must be {expected}, got {checkpoint!r} ({reason})"
        raise ConfigError(message) from error


def quieten() -> None:
    """Keep what the libraries say about each file and each retry out of a stage's output."""
    from transformers.utils import logging as transformers_logging

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def saved_files(*parts: Any) -> dict[str, bytes]:
    """Return the files that `save_pretrained` of configs, tokenizers or processors writes."""
    with TemporaryDirectory() as folder:
        for part in parts:
            part.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@dataclass(frozen=True)
class PretrainedSpec:
    """What a pretrained model needs to know about its inputs, and about itself."""

    head: ClassVar[str]
    """The class of transformers that adds a head for outputs to any architecture."""

    architecture: Mapping[str, Any]
    """The checkpoint's config.json."""

    @abstractmethod
    def arguments(self, inputs: "Tensor") -> "dict[str, Tensor]":
        """Return the arguments of the model for a batch of encoded rows."""


@dataclass(frozen=True)
class PretrainedEncoder(Encoder):
    """Keeps files of the checkpoint: its config, and those of its tokenizer or processor."""

    contents: dict[str, bytes] = field(repr=False)
    """The files by name."""

    def files(self) -> Mapping[str, bytes]:
        """Return the files."""
        return self.contents

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, without the files."""
        return {name: value for name, value in super().to_dict().items() if name != "contents"}

    @classmethod
    def from_saved(cls, values: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """Return the encoder from its fields and its files."""
        fields = {name: value for name, value in values.items() if name != "name"}
        return typed(cls.section, cls, {**fields, "contents": dict(files)})

    @property
    def architecture(self) -> dict[str, Any]:
        """The checkpoint's config.json."""
        return json.loads(self.contents[CONFIG])

    @property
    @abstractmethod
    def spec(self) -> PretrainedSpec:
        """What the model needs to know."""

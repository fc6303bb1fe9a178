"""The contract of an encoder, which turns the rows of a modality into a model's inputs."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from ..lookup import Fitted, find_class
from ..rules import typed
from .rows import Values


class Field(NamedTuple):
    r"""One field of a request.

    The fields of a text, an image and a table, for example:

    {"text": Field(str, {"min_length": 1, "pattern": r"\S"})}

    {"image": Field(bytes, {"max_length": 10_000_000}, required=False),
     "pixels": Field([Field([Field(float, {"ge": 0, "le": 255})])], required=False)}

    {"features": Field({"age": Field(float, {"ge": 0, "le": 120}, required=False),
                        "since": Field(date), "color": Field(str, {"examples": ["red"]})})}
    """

    type: Any
    """A type that pydantic reads from JSON, where `bytes` are in base64 and dates in ISO 8601; a
    list as `[Field]`; an object as a mapping of names to fields."""
    limits: Mapping[str, Any] = MappingProxyType({})
    """Keyword arguments of pydantic's `Field`: min_length, pattern, ge, le, description, ..."""
    required: bool = True
    """Whether a request must have it. If not, it may be null, and is `None` if it is missing."""


class Encoder(Fitted, ABC, section="encoder"):
    """Base class of encoders, one per modality; `data.encoder.name` selects a file in data/.

    Values of CSV files are strings without white space at the ends, those of JSON lines and Parquet
    have their own types; in all of them `None` is a missing value. `fit` finds out what they mean.
    Subclasses are frozen dataclasses, saved as JSON.
    """

    settings: ClassVar[type]
    """The dataclass of the settings under `data.encoder`."""
    columns: ClassVar[Sequence[str]]
    """The columns that a row must have."""
    takes_others: ClassVar[bool] = False
    """Whether all other columns of the data, except those of the objective, are inputs too."""
    row_is_slow: ClassVar[bool] = False
    """Whether `row` may take long, as to decode an image; a server then calls it in a thread, but
    for requests of a few kilobytes that are small."""

    @classmethod
    def read_folder(cls, folder: Path) -> Iterator[tuple[str, Values]] | None:
        """Yield each example of a folder after its file's path; `None` if the folder has tables."""
        return None

    @classmethod
    def load(cls, values: Values, folder: Path) -> Values:
        """Return a row of a table in `folder` with the content of the files that it names.

        Raises:
            ValueError: There is no such file.
        """
        return values

    @staticmethod
    @abstractmethod
    def problem(values: Values) -> str:
        """Return why a row cannot be used, or an empty string."""

    @property
    @abstractmethod
    def example(self) -> Values:
        """A sample row, which a server predicts once at startup."""

    @abstractmethod
    def fields(self) -> Mapping[str, Field]:
        """Return the fields of a request."""

    def row(self, request: Mapping[str, Any]) -> Values:
        """Return the row that a valid request describes.

        Raises:
            ValueError: The request cannot be predicted; the message says why.
        """
        return request

    def is_small(self, request: Mapping[str, Any]) -> bool:
        """Return whether `row` takes so little time that a thread would not be worth it."""
        return False

    def request(self, values: Values) -> Mapping[str, Any]:
        """Return the request, of values of JSON, that describes a row."""
        return {name: values[name] for name in self.fields() if name in values}

    @classmethod
    @abstractmethod
    def fit(cls, rows: Iterable[Values], settings: Any) -> Self:
        """Return an encoder that has learned what it needs from the training split.

        `rows` are read from a file in each iteration, and may be more than memory holds.
        """

    @property
    @abstractmethod
    def spec(self) -> Any:
        """What a model needs to know about its inputs."""

    def files(self) -> Mapping[str, bytes]:
        """Return the encoder's own files by name, which are kept beside its JSON."""
        return {}

    @classmethod
    def from_saved(cls, values: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """Return the encoder from what `to_dict` and `files` returned."""
        return cls.from_dict(values)

    @abstractmethod
    def encode(self, values: Values) -> Any:
        """Return the row as nested numbers or an array; rows may differ in the first dimension."""

    @abstractmethod
    def features(self) -> Mapping[str, tuple[str, Any]]:
        """Return the features of each kind of baseline, `linear` or `boosting`, that suits them.

        A pair is their name and a scikit-learn transformer of rows.
        """

    @abstractmethod
    def shown(self, values: Values) -> Mapping[str, Any]:
        """Return a row's inputs as cells of a table, for people."""

    def measures(self, values: Values) -> Mapping[str, float | str | None]:
        """Return numbers and categories that describe a row, whose distribution may change."""
        return {}

    @abstractmethod
    def limits(self) -> list[str]:
        """Return sentences about the inputs for the model card."""


def to_array(row: Any) -> np.ndarray:
    """Return an encoded row as an array; nested numbers get the types that PyTorch gives them."""
    array = np.asarray(row)
    is_list = isinstance(row, list | tuple)
    return array.astype(np.float32) if is_list and array.dtype == np.float64 else array


def padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return a batch of rows: [rows, ...]; those that are shorter than the longest end in 0."""
    longest = max(map(len, rows))
    batch = np.zeros((len(rows), longest, *rows[0].shape[1:]), rows[0].dtype)
    for place, row in zip(batch, rows, strict=True):
        place[: len(row)] = row
    return batch


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder and of those in it, in order, without what is hidden."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def encoder_class(name: str) -> type[Encoder]:
    """Return the encoder that data/<name>.py defines."""
    return find_class(Encoder, folder="data", name=name, setting="data.encoder.name")


def encoder_settings(values: Mapping[str, Any]) -> Any:
    """Return the checked settings of the encoder `values["name"]`."""
    return typed("data.encoder", encoder_class(values["name"]).settings, values)

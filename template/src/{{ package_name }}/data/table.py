"""Rows of a table as vectors: numbers, what is missing, and the codes of categories."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from ..rules import Checked, PositiveInt, Rule, require_known, within
from .column import NUM_CIRCLES, Column, ColumnType, Summary, circles
from .encoder import Encoder, Field
from .rows import Values

FARTHEST = 10.0
"""Standard deviations from the mean at which a number is cut."""


@dataclass(frozen=True)
class TableEncoderConfig(Checked, section="data.encoder"):
    """Which columns are inputs, and how they become numbers."""

    name: str = "table"
    """This file."""
    types: dict[str, ColumnType] = field(default_factory=dict)
    """The types of columns where the training rows suggest a wrong one."""
    ignore: list[str] = field(default_factory=list)
    """Columns that are no inputs, such as an id."""
    missing: list[str] = field(default_factory=lambda: ["", "na", "n/a", "nan", "null", "none"])
    """Texts that stand for a missing value; case does not matter."""
    max_categories: Annotated[int, within(1, 1_000_000)] = 100
    """How many categories of a column are told apart: the most frequent ones."""
    min_count: PositiveInt = 2
    """How often a category must occur in the training split to be told apart."""


@dataclass(frozen=True)
class TableSpec:
    """What a model needs to know about its inputs: a vector of numbers, followed by codes."""

    num_numbers: int
    """Standardised numbers, and flags that are 1 where a value is missing."""
    category_sizes: tuple[int, ...]
    """For each categorical column: its codes lie in [0, size)."""


@dataclass(frozen=True)
class TableEncoder(Encoder):
    """Maps a row to a vector.

    A missing number is the column's mean, with a flag of its own if the training rows lack some
    too. A missing category, and a rare or new one, have a code each.
    """

    settings: ClassVar = TableEncoderConfig
    columns: ClassVar = ()
    takes_others: ClassVar = True

    inputs: Annotated[tuple[Column, ...], Rule("one or more columns", bool)]
    """The columns of inputs."""
    missing: tuple[str, ...]
    """Texts that stand for a missing value, in lower case."""

    @staticmethod
    def problem(values: Values) -> str:
        """Return an empty string: any value can be missing."""
        return ""

    @property
    def example(self) -> Values:
        """A row of typical values."""
        return {column.name: column.example for column in self.inputs}

    def fields(self) -> Mapping[str, Field]:
        """Return one field with the columns, each of which may be missing."""
        return {"features": Field({column.name: column.field() for column in self.inputs})}

    def row(self, request: Mapping[str, Any]) -> Values:
        """Return the columns of a request."""
        return request["features"]

    def request(self, values: Values) -> Mapping[str, Any]:
        """Return the request with these columns."""
        return {"features": values}

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: TableEncoderConfig) -> Self:
        """Return an encoder with the types, ranges and categories of the columns.

        Raises:
            ConfigError: A setting names an unknown column, or no column is left.
        """
        summaries: dict[str, Summary] = {}
        missing = tuple(text.strip().lower() for text in settings.missing)
        for row in rows:
            for name, value in row.items():
                if name not in settings.ignore:
                    summary = summaries.get(name)
                    if summary is None:
                        summary = summaries[name] = Summary(name, settings.types.get(name))
                    summary.add(_present(value, missing))
        for name in settings.types:
            require_known(name, summaries, section="data.encoder.types")
        columns = tuple(
            summary.column(max_categories=settings.max_categories, min_count=settings.min_count)
            for summary in summaries.values()
        )
        return cls(columns, missing)

    @cached_property
    def spec(self) -> TableSpec:
        """How many numbers there are, and how many codes of each categorical column."""
        sizes = tuple(column.num_codes for column in self._categorical)
        return TableSpec(len(self._scales) + len(self._flagged), sizes)

    @cached_property
    def _categorical(self) -> list[Column]:
        return [column for column in self.inputs if column.num_codes]

    @cached_property
    def _measured(self) -> list[Column]:
        return [column for column in self.inputs if not column.num_codes]

    @cached_property
    def _dates(self) -> list[Column]:
        return [column for column in self.inputs if column.type is ColumnType.date]

    @cached_property
    def _scales(self) -> list[tuple[float, float]]:
        """What is subtracted from each number, and what it is divided by then.

        A constant column becomes 0, and a place on a circle stays what it is.
        """
        scales = [(column.mean, column.deviation or math.inf) for column in self._measured]
        return scales + [(0.0, 1.0)] * NUM_CIRCLES * len(self._dates)

    @cached_property
    def _flagged(self) -> list[int]:
        return [place for place, column in enumerate(self._measured) if column.has_missing]

    def encode(self, values: Values) -> np.ndarray:
        """Return the numbers of a row, then its codes: [numbers + categories], float32."""
        present = {name: _present(value, self.missing) for name, value in values.items()}
        numbers = [column.number(present.get(column.name)) for column in self._measured]
        for column in self._dates:
            numbers += circles(present.get(column.name))
        # Not by NumPy, which takes twice as long for 30 numbers.
        row = [
            _cut((number - mean) / deviation)
            for number, (mean, deviation) in zip(numbers, self._scales, strict=True)
        ]
        row += [float(math.isnan(numbers[place])) for place in self._flagged]
        row += [column.code(present.get(column.name)) for column in self._categorical]
        return np.array(row, np.float32)

    def features(self) -> Mapping[str, tuple[str, Any]]:
        """Return the vectors with codes as one-hot vectors, and as they are for trees."""
        from sklearn.preprocessing import FunctionTransformer

        return {
            "linear": ("onehot", FunctionTransformer(self._one_hot)),
            "boosting": ("table", FunctionTransformer(self._vectors)),
        }

    def shown(self, values: Values) -> Mapping[str, Any]:
        """Return the columns."""
        return {column.name: values.get(column.name) for column in self.inputs}

    def measures(self, values: Values) -> Mapping[str, float | str | None]:
        """Return the numbers and categories of the columns; dates are days since 1970."""
        present = {name: _present(value, self.missing) for name, value in values.items()}
        return {column.name: column.measure(present.get(column.name)) for column in self.inputs}

    def limits(self) -> list[str]:
        """Return sentences about the columns, and about values unlike those of training."""
        counts = Counter(column.type.value for column in self.inputs)
        types = ", ".join(f"{number} {name}" for name, number in counts.items())
        return [
            f"It reads {len(self.inputs)} columns: {types}.",
            "Where a value is missing it takes the mean of the column, or `missing` as a category.",
            "A category that was rare or absent in training counts as `other`.",
            f"A number is cut {FARTHEST:g} standard deviations from the mean of its column.",
        ]

    def _vectors(self, rows: Sequence[Values]) -> np.ndarray:
        """Return [rows, numbers + categories]."""
        return np.stack([self.encode(row) for row in rows])

    def _one_hot(self, rows: Sequence[Values]) -> np.ndarray:
        """Return [rows, numbers + codes]."""
        numbers, codes = np.split(self._vectors(rows), [self.spec.num_numbers], axis=1)
        pairs = zip(codes.T.astype(int), self.spec.category_sizes, strict=True)
        return np.hstack([numbers, *(np.eye(size)[column] for column, size in pairs)])


def _present(value: Any, missing: Sequence[str]) -> Any:
    """Return the value, or `None` if it stands for a missing one."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, str):
        value = value.strip()
        return None if value.lower() in missing else value
    return value


def _cut(distance: float) -> float:
    """Return a distance from the mean that is not too far; 0 for NaN."""
    if -FARTHEST <= distance <= FARTHEST:
        return distance
    return 0.0 if math.isnan(distance) else math.copysign(FARTHEST, distance)

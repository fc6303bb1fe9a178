"""A column of a table: the type that its values suggest, their range, and their codes."""

import math
import re
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

import numpy as np

from ..errors import ProjectError
from ..rules import NonNegativeFloat, Rule, check
from .encoder import Field

OTHER, MISSING, KNOWN = 0, 1, 2
"""Codes of a rare or new category, of a missing one, and of the most frequent one."""
LARGEST = 1e100
"""Numbers are cut here: squares of larger ones are infinite."""
TAIL = 0.005
"""Share of the numbers at each end that mean and deviation see only up to its edge."""
MAX_SAMPLE = 20_000
"""Numbers of a column, evenly spaced in the rows, from which its mean is taken, at most."""
MAX_COUNTED = 100_000
"""Distinct values of a column that are counted, at most; then the rarer half is forgotten."""
MAX_SHOWN = 20
"""Categories that the documentation of a request lists, at most."""
EPOCH = datetime(1970, 1, 1)
NUM_CIRCLES = 4
"""Numbers that are the place of a date in the year and in the week, beside that of its day."""

_NUMBER = re.compile(
    r"[+-]?((?!0\d)(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE
)
"""A number of a CSV. `007` is none: leading zeros are those of a code."""
_WHOLE = re.compile(r"([+-]?(0|[1-9]\d*))\.0*", re.ASCII)
"""A whole number with a point, as many programs write integers of a column with gaps."""
_BOOLEANS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "1": 1.0, "0": 0.0}

Finite = Annotated[float, Rule("finite", math.isfinite)]


class ColumnType(StrEnum):
    """What the values of a column are."""

    numeric = "numeric"
    categorical = "categorical"
    boolean = "boolean"
    date = "date"


_TYPES = {
    bool: ColumnType.boolean,
    int: ColumnType.numeric,
    float: ColumnType.numeric,
    date: ColumnType.date,
    datetime: ColumnType.date,
}
_FIELDS: dict[ColumnType, Any] = {
    ColumnType.numeric: float,
    ColumnType.categorical: str | bool | int | float,
    ColumnType.boolean: bool,
    ColumnType.date: date | datetime,
}
"""Types of JSON."""
_UNUSABLE = (bytes, dict, list)
_NO_NUMBER = (OverflowError, TypeError)
"""What `float` raises for a value that is no number."""


@dataclass(frozen=True)
class Column:
    """A column of inputs, and what the training rows say about it."""

    name: str
    type: ColumnType
    has_missing: bool = False
    """Whether values are missing in the training rows."""
    mean: Finite = 0.0
    """Of the numbers; a date is the number of days since 1970."""
    deviation: NonNegativeFloat = 0.0
    """Standard deviation; 0 for a constant column, which is left out of account."""
    low: Finite = 0.0
    high: Finite = 0.0
    """The range of the numbers."""
    categories: tuple[str, ...] = ()
    """Frequent ones first."""

    def __post_init__(self) -> None:
        check(self, "encoder.inputs", largest=sys.float_info.max)

    @cached_property
    def num_codes(self) -> int:
        """Codes of a category lie in [0, num_codes); 0 for columns of another type."""
        return KNOWN + len(self.categories) if self.type is ColumnType.categorical else 0

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {category: code for code, category in enumerate(self.categories, start=KNOWN)}

    def code(self, value: Any) -> int:
        """Return the code of a category; `None` is a missing one."""
        return MISSING if value is None else self._codes.get(category_of(value), OTHER)

    def number(self, value: Any) -> float:
        """Return the number for a value of another type than `categorical`; NaN if it has none."""
        if type(value) is float and self._is_numeric and -LARGEST <= value <= LARGEST:
            return value  # as most are: this is on the path of each request
        return number_of(value, self.type)

    @cached_property
    def _is_numeric(self) -> bool:
        return self.type is ColumnType.numeric

    def measure(self, value: Any) -> float | str | None:
        """Return the number or the category of a value; `None` if it has none."""
        if self.type in (ColumnType.categorical, ColumnType.boolean):
            return None if value is None else category_of(value)
        number = self.number(value)
        return None if math.isnan(number) else number

    @property
    def example(self) -> Any:
        """A typical value: the mean or the most frequent category."""
        match self.type:
            case ColumnType.categorical:
                return self.categories[0] if self.categories else None
            case ColumnType.boolean:
                return self.mean >= 0.5
            case ColumnType.date:
                return (EPOCH + timedelta(days=self.mean)).date().isoformat()
        return float(f"{self.mean:.4g}")

    def field(self) -> Field:
        """Return the field of a request, whose description tells the values seen in training."""
        limits: dict[str, Any] = {"description": self._known}
        if self.categories:
            limits["examples"] = list(self.categories[:MAX_SHOWN])
        return Field(_FIELDS[self.type], limits, required=False)

    @property
    def _known(self) -> str:
        """The values of the training rows."""
        match self.type:
            case ColumnType.categorical:
                others = len(self.categories) - MAX_SHOWN
                shown = ", ".join(self.categories[:MAX_SHOWN])
                return f"known: {shown}" + (f" and {others} more" if others > 0 else "")
            case ColumnType.boolean:
                return "true or false"
            case ColumnType.date:
                days = [EPOCH + timedelta(days=end) for end in (self.low, self.high)]
                return f"in training {days[0]:%Y-%m-%d} to {days[1]:%Y-%m-%d}"
        return f"in training {self.low:.6g} to {self.high:.6g}"


class Summary:
    """What is gathered about a column, one value at a time, in bounded memory."""

    def __init__(self, name: str, type: ColumnType | None) -> None:
        self.name, self.type = name, type
        self.types: set[ColumnType] = set()
        self.has_missing = False
        self.low, self.high = math.inf, -math.inf
        self.sample: list[float] = []
        self.stride, self.num_numbers = 1, 0
        self.counts: Counter[str] = Counter()

    def add(self, value: Any) -> None:
        """Take a value into account; `None` is a missing one.

        Raises:
            ProjectError: It cannot be of any type.
        """
        if value is None:
            self.has_missing = True
            return
        if isinstance(value, _UNUSABLE):
            kind = type(value).__name__
            raise ProjectError(
                f"column {self.name!r} holds a {kind}; add it to data.encoder.ignore"
            )
        kind = self.type or type_of(value)
        self.types.add(kind)
        if kind is ColumnType.categorical or isinstance(value, str):
            self._count(category_of(value))
        if kind is not ColumnType.categorical:
            self._measure(number_of(value, kind))

    def _count(self, category: str) -> None:
        self.counts[category] += 1
        if len(self.counts) > MAX_COUNTED:
            self.counts = Counter(dict(self.counts.most_common()[: MAX_COUNTED // 2]))

    def _measure(self, number: float) -> None:
        if math.isnan(number):
            self.has_missing = True
            return
        self.low, self.high = min(self.low, number), max(self.high, number)
        if self.num_numbers % self.stride == 0:
            self.sample.append(number)
        self.num_numbers += 1
        if len(self.sample) > MAX_SAMPLE:
            self.sample, self.stride = self.sample[::2], 2 * self.stride

    def column(self, *, max_categories: int, min_count: int) -> Column:
        """Return the column; its type is `categorical` where values suggest different ones."""
        kinds = self.types or {ColumnType.numeric}
        kind = self.type or (kinds.pop() if len(kinds) == 1 else ColumnType.categorical)
        if kind is ColumnType.categorical:
            ordered = sorted(self.counts, key=lambda name: (-self.counts[name], name))
            known = [name for name in ordered if self.counts[name] >= min_count]
            categories = tuple(known[:max_categories])
            return Column(self.name, kind, self.has_missing, categories=categories)
        if not self.sample:
            return Column(self.name, kind, self.has_missing)
        mean, deviation = moments(np.array(self.sample))
        return Column(self.name, kind, self.has_missing, mean, deviation, self.low, self.high)


def moments(numbers: np.ndarray) -> tuple[float, float]:
    """Return the mean and the standard deviation, which a few huge numbers do not change."""
    low = np.quantile(numbers, TAIL, method="higher")
    inner = numbers.clip(low, np.quantile(numbers, 1 - TAIL, method="lower"))
    if inner.min() == inner.max():
        inner = numbers
    is_constant = inner.min() == inner.max()
    return float(inner.mean()), 0.0 if is_constant else float(inner.std())


def type_of(value: Any) -> ColumnType:
    """Return the type that a value suggests."""
    if kind := _TYPES.get(type(value)):
        return kind
    text = category_of(value)
    if _NUMBER.fullmatch(text):
        return ColumnType.numeric
    if text.lower() in ("true", "false"):
        return ColumnType.boolean
    return ColumnType.categorical if date_of(value) is None else ColumnType.date


def number_of(value: Any, kind: ColumnType) -> float:
    """Return the number for a value of a type; NaN if it is missing, infinite or of another."""
    if kind is ColumnType.boolean:
        return _BOOLEANS.get(category_of(value).lower(), math.nan)
    if kind is ColumnType.date:
        moment = date_of(value)
        return math.nan if moment is None else (moment - EPOCH) / timedelta(days=1)
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return math.nan
    return _finite(value)


def _finite(value: Any) -> float:
    try:
        number = float(value)
    except _NO_NUMBER:
        return math.nan
    if -LARGEST <= number <= LARGEST:
        return number
    return math.copysign(LARGEST, number) if math.isfinite(number) else math.nan


def category_of(value: Any) -> str:
    """Return a value as the name of a category: 3.0, "3.0" and "3" are one, True and "TRUE" too."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    if whole := _WHOLE.fullmatch(text):
        return whole[1]
    return text.lower() if text.lower() in ("true", "false") else text


def date_of(value: Any) -> datetime | None:
    """Return a date in ISO 8601, such as 2024-01-31 or 2024-01-31T12:00Z, in UTC; or `None`."""
    with suppress(OverflowError, ValueError):
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day)
        else:
            moment = datetime.fromisoformat(category_of(value))
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return None


def circles(value: Any) -> list[float]:
    """Return sine and cosine of a date's place in the year and in the week; NaN if missing."""
    moment = date_of(value)
    if moment is None:
        return [math.nan] * NUM_CIRCLES
    turns = moment.timetuple().tm_yday / 365.25, moment.weekday() / 7
    return [wave(2 * math.pi * turn) for turn in turns for wave in (math.sin, math.cos)]

"""A dataset as a CSV with a row for each example, which is validated when it is read."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ProjectError
from ..lookup import find_function

Values = Mapping[str, Any]
"""The values of a row by column; `None` if one is missing.

A column that stands for several of the user's holds a mapping from their names to their values."""

MAX_FIELD_SIZE = 10_000_000
"""Characters of one field, at most; the csv module's own limit is 131,072."""

_REFUSED = {
    rb"\0": "a NUL byte, which UTF-8 text does not have",
    rb"\r(?!\n)": "a carriage return without a line feed; lines end with LF or CRLF",
}
"""Bytes that indicate a damaged file or another encoding, with a description of each."""


class Row(NamedTuple):
    """One example."""

    values: Values
    group: str
    """Rows of one group stay in one split."""


class DataError(ProjectError):
    """A row cannot be used, or the whole file if `line` is 0."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path} {reason}")
        self.path, self.line, self.reason = path, line, reason


def dataset_rows(name: str) -> Iterable[Values]:
    """Return the rows of the dataset that data/<name>.py defines, each with the same columns.

    Raises:
        ConfigError: There is no such file, or it has no `rows()`.
    """
    return find_function("rows", folder="data", name=name, setting="data.name")()


def write_csv(rows: Iterable[Values], path: Path) -> int:
    """Write the rows, under a header with the columns of the first; return their number."""
    number = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, row in enumerate(rows, start=1):
            if number == 1:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)
    return number


def read_csv(
    path: Path, columns: Sequence[str], *, group_column: str, problem: Callable[[Values], str]
) -> list[Row]:
    """Return the rows of a UTF-8 file, with the values of these columns.

    The group is the value of `group_column`; without that column each row is its own group.

    Raises:
        DataError: The file is missing, not UTF-8, or has a NUL or a lone carriage return, a column
            is missing, or `problem` returns what is wrong with a row.
    """
    csv.field_size_limit(MAX_FIELD_SIZE)
    reader = csv.DictReader(io.StringIO(_decoded(path), newline=""), strict=True)
    rows: list[Row] = []
    line = 1
    try:
        found = reader.fieldnames
        if missing := [name for name in columns if name not in (found or ())]:
            raise DataError(path, line, f"missing column {' and '.join(missing)}; found {found}")
        line = reader.line_num + 1
        for row in reader:
            values = {name: (row[name] or "").strip() for name in columns}
            if reason := problem(values):
                raise DataError(path, line, reason)
            rows.append(Row(values, row.get(group_column) or f"line {line}"))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(path, line, f"not valid CSV ({error})") from error
    return rows


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(path, 0, "does not exist; run `make fetch`") from error
    except OSError as error:
        raise DataError(path, 0, f"cannot be read ({error.strerror}); run `make fetch`") from error
    for pattern, what in _REFUSED.items():
        if found := re.search(pattern, content):
            raise DataError(path, content.count(b"\n", 0, found.start()) + 1, what)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(path, line, f"byte {content[error.start]:#04x} is not UTF-8") from error

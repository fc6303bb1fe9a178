"""Reads a CSV and refuses what a model must not learn from, naming file, line and reason."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import ProjectError
from .rows import Row, Values

MAX_FIELD_SIZE = 10_000_000
"""Characters of one field, at most; the csv module's own limit is 131,072."""

_REFUSED = {
    rb"\0": "a NUL byte, which UTF-8 text does not have",
    rb"\r(?!\n)": "a carriage return without a line feed; lines end with LF or CRLF",
}
"""What only a damaged file has, or one of another encoding or system."""


class DataError(ProjectError):
    """A row cannot be used."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}")
        self.path, self.line, self.reason = path, line, reason


def read_csv(
    path: Path,
    *,
    columns: Sequence[str],
    group_column: str,
    problem: Callable[[Values], str] = lambda values: "",
) -> list[Row]:
    """Return the rows of a UTF-8 file that has these columns, and no more columns than these.

    The group is the value of `group_column`; without that column each row is its own group.

    Raises:
        DataError: The file is missing, no UTF-8, or has a NUL or a lone carriage return, a column
            is missing, or `problem` has said what is wrong with a row.
    """
    return list(_checked(path, columns, group_column, problem))


def _checked(
    path: Path, columns: Sequence[str], group_column: str, problem: Callable[[Values], str]
) -> Iterator[Row]:
    csv.field_size_limit(MAX_FIELD_SIZE)
    reader = csv.DictReader(io.StringIO(_decoded(path), newline=""), strict=True)
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
            yield Row(values, row.get(group_column) or f"line {line}")
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(path, line, f"not valid CSV ({error})") from error


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
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

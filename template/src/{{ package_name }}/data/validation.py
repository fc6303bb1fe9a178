"""Reads a CSV and refuses what a model must not learn from, naming file, line and reason."""

import csv
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import ProjectError
from .rows import Row

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


def read_csv(path: Path, *, group_column: str, labels: Collection[str] = ()) -> list[Row]:
    """Return the rows of a UTF-8 file with the columns text and label.

    The group is the value of `group_column`; without that column each row is its own group.
    With `labels`, only those are allowed.

    Raises:
        DataError: The file is missing, no UTF-8, or has a NUL or a lone carriage return, a column
            is missing, a text or a label is empty, a label is unknown, or fewer than two occur.
    """
    rows = list(_checked(path, group_column, frozenset(labels)))
    found = {row.label for row in rows}
    if len(found) < 2:
        raise DataError(path, 1, f"expected two labels or more, found {sorted(found)}")
    return rows


def _checked(path: Path, group_column: str, labels: frozenset[str]) -> Iterator[Row]:
    csv.field_size_limit(MAX_FIELD_SIZE)
    reader = csv.DictReader(io.StringIO(_decoded(path), newline=""), strict=True)
    line = 1
    try:
        found = reader.fieldnames
        if missing := [name for name in ("text", "label") if name not in (found or ())]:
            raise DataError(path, line, f"missing column {' and '.join(missing)}; found {found}")
        line = reader.line_num + 1
        for values in reader:
            text, label = (values["text"] or "").strip(), (values["label"] or "").strip()
            _check(path, line, text, label, labels)
            yield Row(text, label, values.get(group_column) or f"line {line}")
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(path, line, f"not valid CSV ({error})") from error


def _check(path: Path, line: int, text: str, label: str, labels: frozenset[str]) -> None:
    if not text:
        raise DataError(path, line, "the text is empty")
    if not label:
        raise DataError(path, line, "the label is empty")
    if labels and label not in labels:
        raise DataError(path, line, f"unknown label {label!r}; data.labels are {sorted(labels)}")


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

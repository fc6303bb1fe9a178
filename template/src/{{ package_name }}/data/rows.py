"""A dataset as people see it: a CSV with a row for each example."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..lookup import find_function

Values = Mapping[str, str]
"""The values of a row, by column."""


class Row(NamedTuple):
    """One example."""

    values: Values
    group: str
    """Rows of one group stay in one split."""


def dataset_rows(name: str) -> Iterable[Values]:
    """Return the rows of the dataset that data/<name>.py defines, each with the same columns.

    Raises:
        ConfigError: There is no such file, or it has no `rows()`.
    """
    return find_function("rows", folder="data", name=name, setting="data.name")()


def write_csv(rows: Iterable[Values], path: Path) -> int:
    """Write the rows, under a header with the columns of the first; return their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = None
        for number, row in enumerate(rows, start=1):
            writer = writer or csv.DictWriter(file, row, lineterminator="\n")
            if number == 1:
                writer.writeheader()
            writer.writerow(row)
    return number

"""A dataset as people see it: a CSV of labelled texts."""

import csv
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ..rules import ConfigError


class Row(NamedTuple):
    """One example."""

    text: str
    label: str
    group: str
    """Rows of one group stay in one split."""


def dataset_rows(name: str) -> Iterable[Row]:
    """Return the rows of the dataset that data/<name>.py defines.

    Raises:
        ConfigError: There is no such file, or it has no `rows()`.
    """
    module_name = f"{__package__}.{name}"
    if name.isidentifier() and find_spec(module_name):
        module = import_module(module_name)
        if hasattr(module, "rows"):
            return module.rows()
    raise ConfigError(f"data.name must be a file in data/ with a function rows(), got {name!r}")


def write_csv(rows: Iterable[Row], path: Path, *, group_column: str) -> int:
    """Write the rows under the header text, label, `group_column`; return their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label", group_column))
        return sum(1 for row in rows if writer.writerow(row))

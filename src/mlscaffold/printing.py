"""Print what commands return: rows as they come, diffs as exact bytes."""

import json
import sys
import textwrap
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from . import report
from .process import CONFLICTS

if TYPE_CHECKING:
    from .check import Checked
    from .update import UpdateResult

Row = TypeVar("Row", "Checked", "UpdateResult")


def print_updated(rows: "Iterable[UpdateResult]", as_json: bool) -> int:
    """Print the result of each project and return the exit code of the worst one."""
    rows = rows if as_json else _after_their_diffs(rows)
    outcomes = {one.outcome for one in printed(rows, report.of_updated, as_json=as_json)}
    return 1 if "failed" in outcomes else CONFLICTS if "conflicts" in outcomes else 0


def _after_their_diffs(rows: "Iterable[UpdateResult]") -> "Generator[UpdateResult]":
    for one in rows:
        if one.diff:
            print_diff(f"{one.diff}\n")
        yield one


def print_diff(diff: str) -> None:
    """Print a diff: on a terminal as text, otherwise its exact bytes, so that it can be applied."""
    if sys.stdout.isatty():
        print(diff, end="")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(diff.encode(errors="surrogateescape"))


def printed(rows: Iterable[Row], text_of: Callable[[Row], str], *, as_json: bool) -> Generator[Row]:
    """Yield the rows, each printed as soon as it is available; with `as_json`, as one list."""
    before = "["
    for row in rows:
        if as_json:
            item = json.dumps(asdict(row), default=str, indent=2)
            print(before, textwrap.indent(item, "  "), sep="\n", end="", flush=True)
            before = ","
        else:
            print(text_of(row), flush=True)
        yield row
    if as_json:
        print("\n]")

"""The command line and the table that all proofs share."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Row:
    """The results of a proof."""

    name: str
    trials: int
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    summary: str = ""
    """Printed instead of the outcomes."""


def parser_of(
    description: str | None, proofs: Iterable[str], *, trials: int, trials_help: str
) -> argparse.ArgumentParser:
    """Return a parser with the options of every proof: --trials, --seed and --only."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(proofs)
    parser.add_argument("--trials", type=int, default=trials, help=trials_help)
    parser.add_argument("--seed", type=int, default=0, help="the first trial's number")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    return parser


def package_of_project() -> str:
    """Return the package of the project in the current folder, and make it importable."""
    [package] = [path.parent.name for path in Path("src").glob("*/train.py")]
    sys.path.insert(0, "src")
    return package


def print_table(rows: Iterable[Row], *, title: str, widths: tuple[int, int]) -> int:
    """Print each row as soon as it is known, then all failures; return 1 if there are any.

    Args:
        rows: The rows; the time between two rows is printed as that of the proof.
        title: The heading of the column of names.
        widths: Of the columns of names and of outcomes.
    """
    name_width, outcome_width = widths
    print(
        f"{title:{name_width}}{'trials':>7}{'seconds':>9}  {'came to':{outcome_width}}{'wrong':>5}"
    )
    wrong: list[str] = []
    start = time.monotonic()
    for row in rows:
        seconds, start = time.monotonic() - start, time.monotonic()
        counted = ", ".join(f"{count} {what}" for what, count in sorted(row.outcomes.items()))
        numbers = f"{row.trials:7}{seconds:9.0f}"
        came_to = f"{row.summary or counted:{outcome_width}}"
        print(f"{row.name:{name_width}}{numbers}  {came_to}{len(row.wrong):5}", flush=True)
        wrong += [f"{row.name}: {one}" for one in row.wrong]
    print(*wrong[:50], sep="\n", end="\n" * bool(wrong))
    return int(bool(wrong))

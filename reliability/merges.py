"""Test that no rule which settles a conflict loses, doubles or moves a line: random line histories.

A user and a template make one to four changes each to a file of some kind; git merges the file, and
the rules settle what they can of its conflicts. A file without conflicts must be valid, hold each
line and each change of both sides once, under the heading where it was made, and be the same
whichever side is whose. A trial depends only on its number. The last column must be 0.

    .venv/bin/python reliability/merges.py --trials 10000
    .venv/bin/python reliability/merges.py --only Makefile --seed 4655 --trials 1
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from line_histories import LANGUAGES, faults, history, merged, parts_by_git
from proof_table import Row, parser_of, print_table

from mlscaffold.updating.resolvers.hunks import Hunk


def main() -> int:
    """Print a row for each kind of file; return 1 when anything went wrong."""
    options = parser_of(
        __doc__, LANGUAGES, trials=1000, trials_help="in all, of kinds that are drawn"
    ).parse_args()
    rows = (_row(path, range(options.seed, options.seed + options.trials)) for path in options.only)
    return print_table(rows, title="file", widths=(20, 62))


def _row(path: str, numbers: range) -> Row:
    row = Row(path, 0)
    for number in (number for number in numbers if history(number).path == path):
        outcome, wrong = tried(number)
        row.trials += 1
        row.outcomes[outcome] += 1
        row.wrong += [f"{number}: {fault}" for fault in wrong]
    return row


def tried(number: int) -> tuple[str, list[str]]:
    """Return what a history came to, and what is wrong with the merged file."""
    one = history(number)
    parts = parts_by_git(one)
    if not any(isinstance(part, Hunk) for part in parts):
        return "without conflicts", []
    text, _ = merged(one, parts)
    if text is None:
        return "left", []
    reverse = replace(one, ours=one.theirs, theirs=one.ours)
    again, _ = merged(reverse, parts_by_git(reverse))
    differs = [] if again == text else ["the other way round it is another file"]
    return "settled", [*faults(one, text), *differs]


if __name__ == "__main__":
    sys.exit(main())

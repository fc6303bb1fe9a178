"""What some lines stand in."""

import re
from collections.abc import Iterable

from .edits import Lines

# Such as `run: |`, `- >2-`, `a: &b !!str |  # why`.
_TEXT = re.compile(r"(?:.*\s)?[|>][-+\d]*\s*(?:#.*)?")


def indent_of(line: str) -> int:
    """Return the number of columns before a line's text."""
    return len(line) - len(line.lstrip())


def parents(above: Lines, lines: Iterable[str]) -> list[str]:
    """Return the lines above that are indented less, the nearest first.

    A sequence of YAML may stand as far left as its key.
    """
    written = [line for line in lines if line.strip()]
    if not written:
        return []
    indent = min(map(indent_of, written))
    is_item = all(line.lstrip().startswith("- ") for line in written)
    found = []
    for line in reversed(above):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        is_key = is_item and not found and not line.lstrip().startswith("- ")
        if indent_of(line) < indent or (is_key and indent_of(line) == indent):
            found.append(line)
            indent = indent_of(line)
    return found


def are_in_text(around: Iterable[str]) -> bool:
    """Return whether lines with these parents are lines of a text of YAML, such as a script."""
    return any(_TEXT.fullmatch(line.strip()) for line in around)


def is_fenced(above: Lines) -> bool:
    """Return whether what is below stands in a block of code of Markdown."""
    return sum(line.lstrip().startswith(("```", "~~~")) for line in above) % 2 == 1

"""A merged file with conflicts as git writes it: lines that are merged, and hunks that are not."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .edits import Lines

SIZE = 61
"""The length of the markers that are read here: no line of a file is likely to look like one."""
_SHOWN = 7
_MARKS = "<|=>"
_LONG_MARK = re.compile(rf"([<|=>])\1{{{SIZE - 1}}}(?!\1)")
_LIKE_A_MARK = re.compile(rf"^([<|=>])\1{{{SIZE - 1}}}", re.MULTILINE)


@dataclass(frozen=True)
class Hunk:
    """Lines that git could not merge, in the old render, the project and the new render."""

    base: Lines
    ours: Lines
    theirs: Lines


Part = Lines | Hunk


def lines_of(text: str) -> Lines:
    """Split a text into lines, each with its end."""
    return tuple(re.findall(r"[^\n]*\n|[^\n]+", text))


def parts_of(text: str) -> list[Part]:
    """Read a merged file in git's style `diff3`, with markers of `SIZE`."""
    parts: list[Part] = []
    sections: list[list[str]] = [[]]
    for line in lines_of(text):
        mark = _MARKS.find(line[0]) if _LONG_MARK.match(line) else -1
        if mark < 0:
            sections[-1].append(line)
        elif mark < 3:
            sections.append([])
        if mark == 0:
            parts.append(tuple(sections[0]))
            sections = [[]]
        elif mark == 3:
            ours, base, theirs = map(tuple, sections)
            parts.append(Hunk(base, ours, theirs))
            sections = [[]]
    return [*parts, tuple(sections[0])]


def can_be_read(texts: Iterable[str]) -> bool:
    """Return whether no line looks like a marker, and each text's last line has an end."""
    return all(not _LIKE_A_MARK.search(text) and text.endswith("\n") for text in texts)


def written(hunk: Hunk, labels: Sequence[str]) -> Lines:
    """Return the hunk as git writes it in its style `zdiff3`; labels are of ours, base, theirs."""
    ours, theirs = hunk.ours, hunk.theirs
    start = _common(ours, theirs)
    end = _common(ours[start:][::-1], theirs[start:][::-1])
    last = len(ours) - end
    line_end = "\r\n" if all(line.endswith("\r\n") for line in (*ours, *theirs)) else "\n"
    marks = [
        f"{mark * _SHOWN}{label}{line_end}" for mark, label in zip(_MARKS, labels, strict=True)
    ]
    return (
        *ours[:start],
        marks[0], *ours[start:last],
        marks[1], *hunk.base,
        marks[2], *theirs[start : len(theirs) - end],
        marks[3], *ours[last:],
    )  # fmt: skip


def _common(ones: Lines, others: Lines) -> int:
    """Return how many first lines are the same."""
    count = 0
    while count < min(len(ones), len(others)) and ones[count] == others[count]:
        count += 1
    return count

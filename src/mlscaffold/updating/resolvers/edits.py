"""The edits that a side made in a hunk, in the lines of its base."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum

from .stems import stem_of

Lines = tuple[str, ...]

# From here on, a line is taken for another version of a line.
_SIMILAR = 0.7
_MAX_COLUMNS = 200
_MAX_PAIRS = 400


@dataclass(frozen=True)
class Edit:
    """Lines `start` to `end` of the base, which one side replaced by others."""

    start: int
    end: int
    lines: Lines
    first: int
    """The lines of the base up to which the same edit could also be said to reach."""
    last: int

    @property
    def growth(self) -> int:
        """How many lines more there are than before."""
        return len(self.lines) - (self.end - self.start)


class Grain(Enum):
    """Which lines of a replacement are edits of their own: old and new are versions of one line."""

    WHOLE = "none"
    STEMS = "lines about the same"
    SIMILAR = "lines about the same, or similar ones"


def edits_of(base: Lines, side: Lines, grain: Grain = Grain.SIMILAR) -> list[Edit]:
    """Return a side's edits, in order."""
    matcher = SequenceMatcher(None, base, side, autojunk=False)
    opcodes = matcher.get_opcodes()
    edits: list[Edit] = []
    for tag, start, end, new_start, new_end in opcodes:
        if tag == "replace":
            edits += _parts(base[start:end], side[new_start:new_end], start, grain)
        elif tag != "equal":
            is_new = tag == "insert"
            where = (side, new_start, new_end) if is_new else (base, start, end)
            up, down = _slides(*where)
            edits.append(Edit(start, end, side[new_start:new_end], start - up, end + down))
    return edits


def applied(base: Lines, edits: Iterable[Edit], start: int, end: int) -> Lines:
    """Return lines `start` to `end` of the base with the edits there."""
    lines: list[str] = []
    for edit in edits:
        lines += [*base[start : edit.start], *edit.lines]
        start = edit.end
    return (*lines, *base[start:end])


def _parts(base: Lines, side: Lines, offset: int, grain: Grain) -> list[Edit]:
    """Split a replacement where a line was changed in place."""
    edits: list[Edit] = []
    i = j = 0
    for a, b in (*_pairs(base, side, grain), (len(base), len(side))):
        if (a, b) != (i, j):
            start, end = offset + i, offset + a
            edits.append(Edit(start, end, side[j:b], start, end))
        if a < len(base):
            edits.append(Edit(offset + a, offset + a + 1, (side[b],), offset + a, offset + a + 1))
        i, j = a + 1, b + 1
    return edits


def _pairs(base: Lines, side: Lines, grain: Grain) -> list[tuple[int, int]]:
    """Return the old and the new place of each line that was changed in place, in order.

    Of these two, each is more like the other than any other line.
    """
    if grain is Grain.WHOLE or len(base) * len(side) > _MAX_PAIRS:
        return []
    rows = [[_likeness(line, other, grain) for other in side] for line in base]
    columns = [*zip(*rows, strict=True)]
    pairs = [
        (i, j)
        for i, row in enumerate(rows)
        for j, score in enumerate(row)
        if score and _is_best(score, row) and _is_best(score, columns[j])
    ]
    return pairs if pairs == sorted(pairs, key=lambda pair: pair[1]) else []


def _is_best(score: float, scores: Sequence[float]) -> bool:
    return max(scores) == score and scores.count(score) == 1


def _likeness(line: str, other: str, grain: Grain) -> float:
    """Return 0 for lines that are not versions of one."""
    stems = stem_of(line), stem_of(other)
    if any(stems):
        return 2 * (stems[0] == stems[1])
    if grain is not Grain.SIMILAR or not line.strip() or max(len(line), len(other)) > _MAX_COLUMNS:
        return 0
    matcher = SequenceMatcher(None, line, other, autojunk=False)
    ratio = matcher.ratio() if matcher.real_quick_ratio() >= _SIMILAR else 0
    return ratio if ratio >= _SIMILAR else 0


def _slides(lines: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """Return how far a block could also stand further up and down, with the same text as result."""
    up = down = 0
    while start - up > 0 and lines[start - up - 1] == lines[end - up - 1]:
        up += 1
    while end + down < len(lines) and lines[start + down] == lines[end + down]:
        down += 1
    return up, down

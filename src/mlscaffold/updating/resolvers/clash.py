"""A place where both sides made changes, with the rest of the file around it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from .agreement import agrees
from .edits import Lines
from .kinds import Kind
from .meaning import Meaning, meaning_of


@dataclass(frozen=True)
class Solution:
    """The lines that settle a clash."""

    lines: Lines
    rules: tuple[str, ...]
    ours: Lines
    """What each side would have written, had it known what the other did in the same line.

    The changes of both sides from the base to these are all in `lines`. A rule that gives `lines`
    for both vouches for itself.
    """
    theirs: Lines


Resolve = Callable[["Clash"], Solution | None]
"""Returns what settles a clash, or `None` where that is not certain."""


@dataclass(frozen=True)
class Clash:
    """The three versions of some lines of a file, and the lines around them.

    Lines end as they do in the file.
    """

    kind: Kind
    above: Lines
    below: Lines
    base: Lines
    ours: Lines
    theirs: Lines

    def meaning(self, lines: Lines) -> Meaning:
        """Return what the file means with these lines; raise ValueError if it is not valid."""
        return meaning_of(self.kind, "".join((*self.above, *lines, *self.below)))

    def holds(self, lines: Lines) -> bool:
        """Return whether the file with these lines is valid, and has the changes of both sides."""
        try:
            return agrees(*self.meanings, self.meaning(lines))
        except (ValueError, RecursionError):
            return False

    @cached_property
    def meanings(self) -> tuple[Meaning, Meaning, Meaning]:
        """What the file means in the base, in ours and in theirs; ValueError if one is invalid."""
        base, ours, theirs = (self.meaning(lines) for lines in (self.base, self.ours, self.theirs))
        return base, ours, theirs

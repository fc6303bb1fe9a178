"""The result of an update."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from .keep import KeptFile
from .merge import Merge
from .settlement import SettledHunk

_OF_ANSWERS = {
    "you changed what the template removed": "you changed what you have deselected",
    "you renamed what the template removed": "you renamed what you have deselected",
}


class Outcome(StrEnum):
    """How an update ended."""

    CURRENT = "current"
    """There was nothing to do."""
    UPDATED = "updated"
    CONFLICTS = "conflicts"
    """Updated, with conflicts that only the user can resolve."""
    PREVIEWED = "previewed"
    ABORTED = "aborted"
    SKIPPED = "skipped"
    """Not a generated project."""
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class UpdateResult:
    """What was done to a project, or in a dry run would have been."""

    project: Path
    outcome: Outcome
    old: str = ""
    new: str = ""
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    conflicts: Mapping[str, str] = field(default_factory=dict)
    """By path, why only the user can resolve it."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """By path, why the project does not get what the template adds or changes."""
    kept: tuple[KeptFile, ...] = ()
    """What the template changes in files that the project keeps."""
    unused: tuple[str, ...] = ()
    """The patterns of what the project keeps that match no file."""
    settled: tuple[SettledHunk, ...] = ()
    """What both sides changed in one place and a rule has merged."""
    branch: str = ""
    commit: str = ""
    pushed: bool = False
    """Whether the remote repository has the branch as it is here."""
    url: str = ""
    """The address of the pull request, or merge request."""
    diff: str = ""
    """In a dry run, what would change."""
    recovered: str = ""
    """What was done about an earlier, interrupted update."""
    problem: str = ""


def described(done: UpdateResult, merged: Merge, *, deselects: bool) -> UpdateResult:
    """Return the result with the merge's paths; where only answers change, say "deselected"."""
    conflicts = {one.path: one.reason for one in merged.conflicts}
    if deselects:
        conflicts = {path: _OF_ANSWERS.get(why, why) for path, why in conflicts.items()}

    def paths(chosen: Callable[[object, object], bool]) -> tuple[str, ...]:
        return tuple(
            one.path
            for one in merged.changes
            if chosen(one.old, one.new) and one.path not in conflicts
        )

    return replace(
        done,
        added=paths(lambda old, new: not old),
        deleted=paths(lambda old, new: not new),
        changed=paths(lambda old, new: bool(old and new)),
        conflicts=conflicts,
        left_out=merged.left_out,
        settled=merged.settled,
    )

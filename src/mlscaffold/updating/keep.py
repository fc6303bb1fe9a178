"""Files that updates leave alone: those that a project names in its own `.mlscaffold.yml`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from ..errors import KeepFileError, NotCommittedError, shown
from ..project import read_file
from ..repository.files import parents
from ..repository.scratch import Scratch
from ..repository.worktree import Worktree

FILE = ".mlscaffold.yml"


class TemplateChange(StrEnum):
    """What the template does to a file that is kept."""

    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"
    RENAMED = "renamed"


@dataclass(frozen=True)
class KeptFile:
    """A file that stays as it is, though the template changes it."""

    path: str
    change: TemplateChange
    to: str = ""
    """Where a renamed one is in the template; it is added there."""


def read_patterns(worktree: Worktree) -> tuple[str, ...]:
    """Return what a project keeps, as patterns of gitignore.

    Raises KeepFileError if the file is invalid, NotCommittedError if it is not the one in HEAD.
    """
    file = worktree.folder / FILE
    try:
        settings = read_file(file, KeepFileError) or {}
    except FileNotFoundError as error:
        if worktree.has_committed(FILE):
            raise NotCommittedError(file, "as it is on disk") from error
        return ()
    if not isinstance(settings, dict):
        raise KeepFileError(file, _EXPECTED)
    for key in settings:
        if key != "keep":
            raise KeepFileError(file, f"holds {shown(key)}; it can hold `keep` alone")
    patterns = settings.get("keep") or []
    if not isinstance(patterns, list):
        raise KeepFileError(file, _EXPECTED)
    for pattern in patterns:
        if not _is_pattern(pattern, worktree):
            problem = "it must be a path or pattern from the project's folder"
            raise KeepFileError(file, f"keeps {shown(pattern)}: {problem}")
    worktree.require_committed(FILE)
    return tuple(patterns)


def without_kept(
    scratch: Scratch,
    worktree: Worktree,
    old: str,
    new: str,
    *,
    patterns: Sequence[str],
    answers_file: str,
) -> tuple[str, str, tuple[KeptFile, ...], tuple[str, ...]]:
    """Return two renders in which kept files are as in the project, and what that leaves out.

    A merge of these can't change them. A file that the project has deleted needs no help, and its
    new name is not added again. The last value are patterns that match no file.
    """
    if not patterns:
        return old, new, (), ()
    before, after, ours = map(scratch.entries, (old, new, worktree.tree()))
    known = {*before, *after, *ours}
    kept = scratch.matching(patterns, known)
    unused = tuple(one for one in patterns if not scratch.matching([one.removeprefix("!")], known))
    if answers_file in kept:
        problem = f"keeps {answers_file}, which records what an update has done"
        fix = f"add '!/{answers_file}' at the end of the list"
        raise KeepFileError(worktree.folder / FILE, f"{problem}: {fix}")
    kept = {path for path in kept if path in ours or path not in before}
    mine = {was: now for was, now in scratch.renames(old, worktree.tree()).items() if now in kept}
    folders = {parent for path in kept if path in ours for parent in parents(path)}
    kept |= mine.keys() | (folders & {*before, *after})
    renamed = scratch.renames(old, new)
    found = []
    for path in sorted(kept):
        place = mine.get(path, path)
        if before.get(path) != after.get(path) != ours.get(place):
            change = _change(path, before, after, renamed)
            found.append(KeptFile(place, change, renamed.get(path, "")))
    as_ours = {path: ours.get(path) for path in sorted(kept, key=lambda path: path in ours)}
    return scratch.edited(old, as_ours), scratch.edited(new, as_ours), tuple(found), unused


_EXPECTED = "must hold `keep`, a list of paths and patterns"


def _is_pattern(pattern: Any, worktree: Worktree) -> bool:
    if not (isinstance(pattern, str) and pattern.isprintable() and pattern.strip()):
        return False
    if pattern.startswith("#") or {".", ".."} & {*pattern.split("/")}:
        return False
    if not PurePath(pattern).is_relative_to(worktree.folder):
        return True
    # A path of this machine, unless a project in /src has a folder src.
    return worktree.folder.joinpath(*PurePath(pattern).parts[1:2]).exists()


def _change(
    path: str, before: Collection[str], after: Collection[str], renamed: Collection[str]
) -> TemplateChange:
    if path in after:
        return TemplateChange.CHANGED if path in before else TemplateChange.ADDED
    return TemplateChange.RENAMED if path in renamed else TemplateChange.DELETED

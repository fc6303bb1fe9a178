"""How an update ends once its user has resolved the conflicts."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..errors import ConflictMarkersError, UnresolvedConflictError
from ..repository import files, index
from ..repository.worktree import Worktree
from .commits import commit_lines
from .journal import Journal, state_of


def require_no_markers(worktree: Worktree, journal: Journal) -> None:
    """Raise ConflictMarkersError while conflict markers are left in a file."""
    standing = [path for path in journal.marked if _has_markers(worktree.top / path)]
    if standing:
        raise ConflictMarkersError(standing)


def resolved(worktree: Worktree, journal: Journal) -> Journal:
    """Return what is left to do once the conflicts are resolved; write the new index to a file.

    Raises ProjectError while a conflict without markers is not resolved.
    """
    found = index.lines(worktree)
    unmerged = {path for path, lines in found.items() if lines[0][2] != "0"}
    undecided = unmerged & set(journal.unmarked)
    if undecided:
        raise UnresolvedConflictError(undecided)
    files.copy(worktree.index, state_of(worktree).new_index)
    lines = _lines(worktree, unmerged)
    return replace(
        journal,
        before={path: found[path] for path in unmerged},
        index={path: lines.get(path, ()) for path in unmerged},
        marked=(),
        unmarked=(),
        commit=_commit(worktree, journal, lines) if journal.commits else "",
    )


def _lines(worktree: Worktree, unmerged: Iterable[str]) -> index.Lines:
    """Return the new index's lines, with each conflict resolved by the working tree's file."""
    file = state_of(worktree).new_index
    asked = b"".join(os.fsencode(path) + b"\0" for path in sorted(unmerged))
    env = {"GIT_INDEX_FILE": str(file)}
    worktree.git("update-index", "--add", "--remove", "-z", "--stdin", stdin=asked, env=env)
    return index.lines(worktree, file=file)


def _commit(worktree: Worktree, journal: Journal, lines: index.Lines) -> str:
    """Commit the project's part of the index, and nothing else, if HEAD is still ours."""
    if worktree.head != journal.head:
        return ""
    state = state_of(worktree)
    gone = index.lines(worktree, file=state.old_index).keys() - lines
    lines = {**dict.fromkeys(gone, ()), **lines}
    return commit_lines(worktree, lines, state.scratch("tree"), journal.title, journal.author)


def _has_markers(file: Path) -> bool:
    if not file.is_file():
        return False
    lines = file.read_bytes().splitlines()
    return any(line.startswith((b"<<<<<<< ", b">>>>>>> ")) for line in lines)

"""How an update ends whose conflicts its user has settled."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..errors import ProjectError
from ..repository import files, index
from ..repository.worktree import Worktree, some
from .commits import commit_lines
from .journal import Journal, state_of


def require_no_markers(worktree: Worktree, journal: Journal) -> None:
    """Raises ProjectError while conflict markers stand in a file."""
    standing = [path for path in journal.marked if _has_markers(worktree.top / path)]
    if standing:
        raise ProjectError(f"conflict markers still stand in {some(standing)}")


def ended(worktree: Worktree, journal: Journal) -> Journal:
    """What is left to do once the conflicts are settled; writes aside what the index will be.

    Raises ProjectError while one that no markers show is not settled.
    """
    found = index.lines(worktree)
    unmerged = {path for path, lines in found.items() if lines[0][2] != "0"}
    undecided = unmerged & set(journal.unmarked)
    if undecided:
        raise ProjectError(
            f"not settled yet: {some(undecided)}; `git add` what stays, `git rm` what goes"
        )
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
    """The lines of the new index once what lies in the working tree settles each conflict."""
    file = state_of(worktree).new_index
    asked = b"".join(os.fsencode(path) + b"\0" for path in sorted(unmerged))
    env = {"GIT_INDEX_FILE": str(file)}
    worktree.git("update-index", "--add", "--remove", "-z", "--stdin", stdin=asked, env=env)
    return index.lines(worktree, file=file)


def _commit(worktree: Worktree, journal: Journal, lines: index.Lines) -> str:
    """A commit of the project's part of the index, and nothing else, where HEAD is still ours."""
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

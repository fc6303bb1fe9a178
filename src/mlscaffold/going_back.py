"""Puts back what an update has changed, from what its journal kept."""

import shutil
from collections.abc import Iterable
from contextlib import suppress

from . import files, index
from .errors import ProjectError
from .journal import Journal, state_of
from .worktree import Worktree, some


def undo(worktree: Worktree, journal: Journal) -> None:
    """Undoes the first part of an application, but for what its user has changed since."""
    require_room(worktree, journal)
    state = state_of(worktree)
    # A full disk gets room again.
    shutil.rmtree(state.new, ignore_errors=True)
    content = {path: files.digest_in(worktree.top, path) for path in journal.paths}
    ours = [path for path in journal.paths if content[path] in (journal.content[path], "")]
    _set_to_old(worktree, journal, ours)
    index.change(worktree, state.new_index, to=journal.before, where=journal.index)
    state.remove()


def restore(worktree: Worktree, journal: Journal) -> None:
    """Puts back every file and the index as they were before the update."""
    state = state_of(worktree)
    _set_to_old(worktree, journal, journal.paths)
    old, now = (
        index.others(worktree, file, journal.index) for file in (state.old_index, worktree.index)
    )
    if old == now:
        files.copy(state.old_index, state.new_index)
        index.install(worktree, state.new_index)
    else:
        index.change(worktree, state.new_index, to=journal.before)
    state.remove()


def require_room(worktree: Worktree, journal: Journal) -> None:
    """Raises ProjectError when something of the user's lies where a file will be again."""
    state, going = state_of(worktree), set(journal.paths)
    kept = [path for path in journal.paths if files.digest(state.old / path)]
    found = {files.in_the_way(worktree.top, path, going=going) for path in kept} - {""}
    if found:
        raise ProjectError(f"in the way of files that return: {some(found)}; move them away first")


def _set_to_old(worktree: Worktree, journal: Journal, paths: Iterable[str]) -> None:
    """Makes each file what was kept of it: nothing, where there was none."""
    state = state_of(worktree)
    for path in journal.paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            files.aside(worktree.top / path).unlink()
    old = {path: files.digest(state.old / path) for path in paths}
    differing = [path for path in old if files.digest_in(worktree.top, path) != old[path]]
    for path in differing:
        if not old[path]:
            (worktree.top / path).unlink()
    for folder in sorted(journal.folders, reverse=True):
        files.remove_empty(worktree.top / folder)
    for path in differing:
        if old[path]:
            files.twin(state.old / path, state.scratch("file"))
            files.put(state.scratch("file"), worktree.top / path)

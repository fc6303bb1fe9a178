"""Restore what an update has changed, from its journal and the files kept with it."""

import shutil
from contextlib import suppress

from ..errors import BlockedPathError
from ..repository import files, index
from ..repository.worktree import Worktree
from .journal import Journal, state_of


def undo(worktree: Worktree, journal: Journal) -> None:
    """Undo an unfinished update, except what the user has changed since."""
    require_room(worktree, journal)
    _put_back(worktree, journal)
    index.update(worktree, state_of(worktree).new_index, to=journal.before, where=journal.index)
    state_of(worktree).remove()


def restore(worktree: Worktree, journal: Journal) -> None:
    """Restore every file and the index as they were before the update.

    A file that the user saves while this runs is kept.
    """
    state = state_of(worktree)
    _put_back(worktree, journal)
    old, now = (
        index.other_lines(worktree, file, journal.index)
        for file in (state.old_index, worktree.index)
    )
    if old == now:
        files.copy(state.old_index, state.new_index)
        index.install(worktree, state.new_index)
    else:
        index.update(worktree, state.new_index, to=journal.before)
    state.remove()


def require_room(worktree: Worktree, journal: Journal) -> None:
    """Raise BlockedPathError if a user's file is where a file will be restored."""
    state, going = state_of(worktree), set(journal.paths)
    kept = [path for path in journal.paths if files.digest(state.old / path)]
    found = {files.blocking_path(worktree.top, path, going=going) for path in kept} - {""}
    if found:
        raise BlockedPathError("in the way of files to be restored", found, "move them away first")


def _put_back(worktree: Worktree, journal: Journal) -> None:
    """Restore each file that has the journal's content, or is missing."""
    top, state = worktree.top, state_of(worktree)
    # Frees space if the disk is full.
    shutil.rmtree(state.new, ignore_errors=True)
    for path in journal.paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            files.staged(top / path).unlink()
        if not journal.before[path] and files.digest_in(top, path):
            gone = state.gone / path
            files.swap(top, path, None, old=journal.content[path], aside=gone)
    for folder in sorted(journal.folders, reverse=True):
        files.remove_empty(top / folder)
    for path in journal.paths:
        old, found = state.old / path, files.digest_in(top, path)
        if files.digest(old) not in ("", found) and found in ("", journal.content[path]):
            files.swap(top, path, old, old=found, aside=state.gone / path)

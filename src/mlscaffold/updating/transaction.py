"""Apply a merge to a working tree so that it is old or new, even after a crash at any instant.

1. The new files are written to the state folder in the git directory, and a journal is written.
2. Each old file is moved there, and the new one is put in its place.
3. The journal is marked: all files are in place. After a crash before this, `recover` undoes the
   update; after a crash after this, it completes the update.
4. Git's index is replaced by one rename under git's own lock, then HEAD moves, if a commit was
   requested.

No file is overwritten: if a user saves one meanwhile, it is kept, and the update is refused.
Recovery does not touch a file or a line of the index that is neither the old nor the new version.
No file outside the merge is read. With conflicts the journal stays, so that `abort` can restore
everything.
"""

import fcntl
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial

from ..errors import (
    ChangedMeanwhileError,
    ConcurrentUpdateError,
    MlscaffoldError,
    MovedHeadError,
    NoUpdateError,
    RecoveryError,
)
from ..repository import files, index
from ..repository.scratch import Scratch
from ..repository.worktree import Worktree
from . import preparation, resolution, rollback
from .commits import commit_merge, import_objects
from .journal import Journal, Phase, state_of
from .merge import Merge


class Recovery(StrEnum):
    """How an interrupted update was recovered."""

    NOTHING = "nothing"
    UNDONE = "undone"
    COMPLETED = "completed"


@contextmanager
def locked(worktree: Worktree) -> Generator[None]:
    """Keep any other update out of this working tree while the block runs.

    Raises ProjectError at once if another is running. The lock ends with the process.
    """
    descriptor = os.open(worktree.git_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConcurrentUpdateError(worktree.top) from error
        yield
    finally:
        os.close(descriptor)


def unfinished(worktree: Worktree) -> Journal | None:
    """Return the journal of an unfinished update, or `None`."""
    return state_of(worktree).read()


def apply(
    worktree: Worktree,
    merge: Merge,
    scratch: Scratch,
    *,
    title: str,
    author: Mapping[str, str],
    commits: bool,
) -> str:
    """Write the merge to the working tree and the index; return the commit made, if any.

    If that fails, everything is restored and the error raised.
    """
    preparation.require_room(worktree, merge)
    state, commit, is_begun = state_of(worktree), "", False
    try:
        state.make()
        import_objects(scratch, worktree, merge)
        if commits and not merge.conflicts:
            commit = commit_merge(worktree, merge, state.scratch("tree"), title, author)
        preparation.write_new_files(worktree, merge)
        with index.locked(worktree, state.token):
            before = preparation.lines_unchanged(worktree, merge)
            kept = preparation.keep(worktree, merge, before)
            # Checked last: the files that were kept must be those that were merged.
            preparation.require_content(worktree, before)
            journal = preparation.make_journal(
                worktree, merge, before, kept, title=title, author=author
            )
            journal = replace(journal, commit=commit, commits=commits)
            preparation.write_indexes(worktree, journal)
            state.write(journal)
            is_begun = True
            _put_files(worktree, journal, kept)
            _install(worktree, journal)
    except BaseException as error:
        _recover_from(worktree, error, goal=Recovery.COMPLETED, is_done=lambda: is_begun)
    return commit


def recover(worktree: Worktree) -> Recovery:
    """Undo or complete what was interrupted; leave an update with conflicts alone."""
    state = state_of(worktree)
    journal = state.read()
    if journal is None:
        index.release_lock(worktree)
        state.remove()
        return Recovery.NOTHING
    if journal.phase is Phase.CONFLICTS:
        index.release_lock(worktree)
        return Recovery.NOTHING
    with index.locked(worktree, state.token):
        if journal.phase is Phase.ABORTING:
            rollback.restore(worktree, journal)
        elif journal.phase is Phase.INSTALLING:
            index.update(worktree, state.new_index, to=journal.index, where=journal.before)
            _complete(worktree, journal)
            return Recovery.COMPLETED
        else:
            rollback.undo(worktree, journal)
    return Recovery.UNDONE


def abort(worktree: Worktree) -> None:
    """Restore files and index byte for byte as they were before the update.

    Raises ProjectError if the update has been committed since.
    """
    journal, state = _require_unfinished(worktree), state_of(worktree)
    content = {path: files.digest_in(worktree.top, path) for path in journal.paths}
    if worktree.head != journal.head:
        raise MovedHeadError(worktree.top)
    rollback.require_room(worktree, journal)
    try:
        with index.locked(worktree, state.token):
            journal = replace(journal, phase=Phase.ABORTING, content=content)
            state.write(journal)
            rollback.restore(worktree, journal)
    except BaseException as error:
        is_done = partial(_is_finished, worktree)
        _recover_from(worktree, error, goal=Recovery.UNDONE, is_done=is_done)


def resume(worktree: Worktree) -> str:
    """Finish an update whose conflicts are resolved; return the commit made, if any.

    Raises ProjectError while conflict markers are left, or a conflict without any is not resolved.
    """
    journal, state = _require_unfinished(worktree), state_of(worktree)
    resolution.require_no_markers(worktree, journal)
    done = journal
    try:
        with index.locked(worktree, state.token):
            done = resolution.resolved(worktree, journal)
            _install(worktree, done)
    except BaseException as error:
        is_done = partial(_is_finished, worktree)
        _recover_from(worktree, error, goal=Recovery.COMPLETED, is_done=is_done)
    return done.commit


def _put_files(worktree: Worktree, journal: Journal, kept: Mapping[str, str]) -> None:
    """Replace or remove each file, unless its user has just changed it."""
    top, state = worktree.top, state_of(worktree)
    going = [path for path in journal.paths if kept[path] and not journal.content[path]]
    coming = [path for path in journal.paths if files.digest(state.new / path)]
    for path in (*going, *coming):
        new = state.new / path if path in coming else None
        if not files.swap(top, path, new, old=kept[path], aside=state.old / path):
            raise ChangedMeanwhileError(path)
        if not new:
            files.remove_empty_above(top, path)
    # A program that had one open may have written into it since it was moved.
    for path in (*going, *coming):
        if files.digest(state.old / path) != kept[path]:
            raise ChangedMeanwhileError(path)


def _install(worktree: Worktree, journal: Journal) -> None:
    """Finish the update: from here on, a crash is followed by completion."""
    journal = replace(journal, phase=Phase.INSTALLING)
    state_of(worktree).write(journal)
    index.install(worktree, state_of(worktree).new_index)
    _complete(worktree, journal)


def _complete(worktree: Worktree, journal: Journal) -> None:
    """Do the remaining steps once files and index are in place."""
    if journal.commit and worktree.current_head() == journal.head:
        title = f"mlscaffold: {journal.title}"
        worktree.git("update-ref", "-m", title, "HEAD", journal.commit, journal.head)
    if journal.marked or journal.unmarked:
        state_of(worktree).write(replace(journal, phase=Phase.CONFLICTS))
    else:
        state_of(worktree).remove()


def _recover_from(
    worktree: Worktree, error: BaseException, *, goal: Recovery, is_done: Callable[[], bool]
) -> None:
    """Recover from an error, and raise it unless the goal could be reached all the same.

    If there was nothing to recover, `is_done` decides.
    """
    try:
        recovery = recover(worktree)
    except (MlscaffoldError, OSError) as second:
        raise RecoveryError(error, second) from error
    if recovery is goal or (recovery is Recovery.NOTHING and is_done()):
        if isinstance(error, Exception):
            return
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt("the command was completed") from error
    raise error


def _is_finished(worktree: Worktree) -> bool:
    return unfinished(worktree) is None


def _require_unfinished(worktree: Worktree) -> Journal:
    journal = unfinished(worktree)
    if journal is None:
        raise NoUpdateError(worktree.top)
    return journal

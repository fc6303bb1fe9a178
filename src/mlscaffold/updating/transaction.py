"""Applies a merge to a working tree so that a crash at any instant leaves before or after.

In order: what each file will be is written aside, a journal says so; each file is moved away, to be
kept, and the new one put in its place; the journal says that they are. That is the point of no
return: what a crash interrupts before it is undone by `recover`, after it completed. Then git's
index follows, by one rename under git's own lock, and HEAD for a commit that was asked for.
Nothing is put over a file: what is saved in between stays, and the update refuses.
A file or a line of the index that is neither as it was nor as the update left it is its user's:
recovery leaves it alone. No file outside the merge is looked at.

With conflicts the journal stays, so that `abort` can restore what was there.
"""

import fcntl
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial

from ..errors import MlscaffoldError, ProjectError
from ..repository import files, index
from ..repository.scratch import Scratch
from ..repository.worktree import Worktree, names, some
from . import going_back, settled
from .commits import commit_merge, import_objects
from .journal import Journal, Phase, state_of
from .merge import Merge


class Recovery(StrEnum):
    """What an interrupted update was turned into."""

    NOTHING = "nothing"
    BEFORE = "before"
    AFTER = "after"


@contextmanager
def locked(worktree: Worktree) -> Generator[None]:
    """Keeps any other update out of this working tree while the block runs.

    Raises ProjectError at once when another is at work. The lock goes with the process.
    """
    descriptor = os.open(worktree.git_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ProjectError(f"another update is at work in {worktree.top}") from error
        yield
    finally:
        os.close(descriptor)


def unfinished(worktree: Worktree) -> Journal | None:
    """The journal of an update that is not finished."""
    return state_of(worktree).read()


def require_room(worktree: Worktree, merge: Merge) -> None:
    """Raises ProjectError when the merge would write where something of the user's lies.

    That is a file that git does not know or was told not to look at, or a submodule.
    """
    going = {worktree.prefix + change.path for change in merge.changes if change.old}
    added = {worktree.prefix + change.path for change in merge.changes if not change.old}
    touched = going | added | {worktree.prefix + conflict.path for conflict in merge.conflicts}
    hidden = worktree.hidden()
    blocked = {path for path in touched if hidden & {path, *files.parents(path)}}
    if blocked:
        raise ProjectError(
            f"the update changes what git was told to leave alone: {some(blocked)}; "
            "clear its skip-worktree or assume-unchanged flag first, or move the submodule"
        )
    found = {files.in_the_way(worktree.top, path, going=going) for path in added} - {""}
    if found:
        raise ProjectError(
            f"the update brings files where some lie that git does not track: {some(found)}; "
            "move them away first"
        )


def apply(
    worktree: Worktree,
    merge: Merge,
    scratch: Scratch,
    *,
    title: str,
    author: Mapping[str, str],
    commits: bool,
) -> str:
    """Puts the merge into the working tree and the index; returns the commit made, if any.

    When it can't, all is put back as it was and the error raised.
    """
    require_room(worktree, merge)
    state, commit, is_begun = state_of(worktree), "", False
    try:
        state.make()
        import_objects(scratch, worktree, merge)
        if commits and not merge.conflicts:
            commit = commit_merge(worktree, merge, state.scratch("tree"), title, author)
        _write_new_files(worktree, merge)
        with index.locked(worktree, state.token):
            before = _lines_unchanged(worktree, merge)
            kept = _kept(worktree, merge, before)
            # Last, so that what was kept is what was merged.
            _require_content(worktree, before)
            journal = _journal(worktree, merge, before, kept, title=title, author=author)
            journal = replace(journal, commit=commit, commits=commits)
            _write_indexes(worktree, journal)
            state.write(journal)
            is_begun = True
            _put_files(worktree, journal, kept)
            _install(worktree, journal)
    except BaseException as error:
        _settle(worktree, error, goal=Recovery.AFTER, is_done=lambda: is_begun)
    return commit


def recover(worktree: Worktree) -> Recovery:
    """Undoes or completes what was interrupted; leaves an update with conflicts alone."""
    state = state_of(worktree)
    journal = state.read()
    if journal is None:
        index.release(worktree)
        state.remove()
        return Recovery.NOTHING
    if journal.phase is Phase.CONFLICTS:
        index.release(worktree)
        return Recovery.NOTHING
    with index.locked(worktree, state.token):
        if journal.phase is Phase.ABORTING:
            going_back.restore(worktree, journal)
        elif journal.phase is Phase.INSTALLING:
            index.change(worktree, state.new_index, to=journal.index, where=journal.before)
            _complete(worktree, journal)
            return Recovery.AFTER
        else:
            going_back.undo(worktree, journal)
    return Recovery.BEFORE


def abort(worktree: Worktree) -> None:
    """Restores files and index byte for byte as they were before the update.

    Raises ProjectError when the update is part of a commit by now.
    """
    journal, state = _require_unfinished(worktree), state_of(worktree)
    content = {path: files.digest_in(worktree.top, path) for path in journal.paths}
    if worktree.head != journal.head:
        raise ProjectError(
            f"{worktree.top} has other commits than before the update, which going back would "
            "undo in the files: end the update with `mlscaffold update --continue`"
        )
    going_back.require_room(worktree, journal)
    try:
        with index.locked(worktree, state.token):
            journal = replace(journal, phase=Phase.ABORTING, content=content)
            state.write(journal)
            going_back.restore(worktree, journal)
    except BaseException as error:
        is_done = partial(_is_finished, worktree)
        _settle(worktree, error, goal=Recovery.BEFORE, is_done=is_done)


def resume(worktree: Worktree) -> str:
    """Ends an update whose conflicts are settled; returns the commit made, if any.

    Raises ProjectError while conflict markers stand, or a conflict without any is not settled.
    """
    journal, state = _require_unfinished(worktree), state_of(worktree)
    settled.require_no_markers(worktree, journal)
    ended = journal
    try:
        with index.locked(worktree, state.token):
            ended = settled.ended(worktree, journal)
            _install(worktree, ended)
    except BaseException as error:
        is_done = partial(_is_finished, worktree)
        _settle(worktree, error, goal=Recovery.AFTER, is_done=is_done)
    return ended.commit


def _write_new_files(worktree: Worktree, merge: Merge) -> None:
    """Writes the new files aside, as git would check them out here."""
    state = state_of(worktree)
    lines = {worktree.prefix + one.path: (index.line(one.new),) for one in merge.changes if one.new}
    index.give(worktree, state.scratch("checkout"), lines)
    env = {"GIT_INDEX_FILE": str(state.scratch("checkout"))}
    prefix = f"--prefix={state.new}{os.sep}"
    worktree.git("checkout-index", "--all", "--force", "--quiet", prefix, env=env)
    missing = [path for path in lines if not files.digest(state.new / path)]
    if missing:
        raise ProjectError(f"git could not write {some(missing)}")


def _lines_unchanged(worktree: Worktree, merge: Merge) -> index.Lines:
    """The index's lines for what changes; raises ProjectError when HEAD or index have changed."""
    found = index.lines(worktree)
    expected = {worktree.prefix + one.path: one.old for one in merge.changes}
    others = {worktree.prefix + conflict.path for conflict in merge.conflicts} - set(expected)
    committed = {path: (index.line(old),) if old else () for path, old in expected.items()}
    differing = {path for path, lines in committed.items() if found.get(path, ()) != lines}
    if differing or _head(worktree) != worktree.head:
        raise ProjectError(f"{worktree.folder} has changed in the meantime: try again")
    return {path: found.get(path, ()) for path in (*expected, *others)}


def _kept(worktree: Worktree, merge: Merge, before: index.Lines) -> dict[str, str]:
    """By path, the digest of each file as git has it; empty where git has none.

    A file that will be replaced is kept by being moved, one that waits for its user by a copy.
    """
    kept = {
        path: files.digest_in(worktree.top, path) if lines else "" for path, lines in before.items()
    }
    changed = {worktree.prefix + change.path for change in merge.changes}
    for path in kept.keys() - changed:
        if kept[path]:
            files.copy(worktree.top / path, state_of(worktree).old / path)
    return kept


def _require_content(worktree: Worktree, before: index.Lines) -> None:
    """Raises ProjectError when a file has other content than the index, whatever its times say."""
    # An index without times makes git read the files.
    file = state_of(worktree).scratch("times")
    index.give(worktree, file, before)
    env = {"GIT_INDEX_FILE": str(file)}
    by_content = ("-c", "diff.autoRefreshIndex=true", "diff", "--no-ext-diff")
    listed = worktree.git(*by_content, "--name-only", "--no-renames", "-z", env=env)
    if listed:
        raise ProjectError(
            f"{worktree.folder} has changes that are not committed: {some(names(listed))}; "
            "commit or stash them first"
        )


def _journal(
    worktree: Worktree,
    merge: Merge,
    before: index.Lines,
    kept: Mapping[str, str],
    *,
    title: str,
    author: Mapping[str, str],
) -> Journal:
    new = {worktree.prefix + change.path: change.new for change in merge.changes}
    conflicts = {worktree.prefix + conflict.path: conflict for conflict in merge.conflicts}
    lines = {path: (index.line(entry),) if entry else () for path, entry in new.items()}
    content = dict(kept) | {path: files.digest(state_of(worktree).new / path) for path in new}
    above = {parent for path in content if content[path] for parent in files.parents(path)}
    return Journal(
        phase=Phase.APPLYING,
        title=title,
        head=worktree.head,
        prefix=worktree.prefix,
        before=before,
        index=lines
        | {path: tuple(map(index.line, one.entries)) for path, one in conflicts.items()},
        content=content,
        folders=tuple(sorted(path for path in above if not files.is_folder_in(worktree.top, path))),
        marked=tuple(sorted(path for path, one in conflicts.items() if one.is_marked)),
        unmarked=tuple(sorted(path for path, one in conflicts.items() if not one.is_marked)),
        commit="",
        commits=False,
        author=author,
    )


def _write_indexes(worktree: Worktree, journal: Journal) -> None:
    """Keeps the index as it is, and writes aside what it will be."""
    state = state_of(worktree)
    for copy in (state.old_index, state.new_index):
        files.copy(worktree.index, copy)
    index.give(worktree, state.new_index, journal.index)


def _put_files(worktree: Worktree, journal: Journal, kept: Mapping[str, str]) -> None:
    """Puts each file in its place, or takes it away, unless its user has just changed it."""
    top, state = worktree.top, state_of(worktree)
    going = [path for path in journal.paths if kept[path] and not journal.content[path]]
    coming = [path for path in journal.paths if files.digest(state.new / path)]
    for path in (*going, *coming):
        new = state.new / path if path in coming else None
        if not files.swap(top, path, new, old=kept[path], aside=state.old / path):
            raise ProjectError(f"{path} has changed in the meantime: try again")
        if not new:
            files.remove_empty_above(top, path)
    # A program that had one open may have written into it where it lies now.
    for path in (*going, *coming):
        if files.digest(state.old / path) != kept[path]:
            raise ProjectError(f"{path} has changed in the meantime: try again")


def _install(worktree: Worktree, journal: Journal) -> None:
    """Ends the update: from here on it is completed, whatever happens."""
    journal = replace(journal, phase=Phase.INSTALLING)
    state_of(worktree).write(journal)
    index.install(worktree, state_of(worktree).new_index)
    _complete(worktree, journal)


def _complete(worktree: Worktree, journal: Journal) -> None:
    """What is left to do once files and index are in place."""
    if journal.commit and _head(worktree) == journal.head:
        title = f"mlscaffold: {journal.title}"
        worktree.git("update-ref", "-m", title, "HEAD", journal.commit, journal.head)
    if journal.marked or journal.unmarked:
        state_of(worktree).write(replace(journal, phase=Phase.CONFLICTS))
    else:
        state_of(worktree).remove()


def _settle(
    worktree: Worktree, error: BaseException, *, goal: Recovery, is_done: Callable[[], bool]
) -> None:
    """Recovers from an error, and raises it unless the goal could be reached all the same.

    Where there was nothing to recover, `is_done` tells.
    """
    try:
        became = recover(worktree)
    except (MlscaffoldError, OSError) as second:
        raise ProjectError(
            f"{str(error) or 'interrupted'}; then, on the way back: {second}; "
            "fix that and run `mlscaffold update --abort`"
        ) from error
    if became is goal or (became is Recovery.NOTHING and is_done()):
        if isinstance(error, Exception):
            return
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt("what was asked for is done") from error
    raise error


def _head(worktree: Worktree) -> str:
    return worktree.git("rev-parse", "--verify", "HEAD").decode().strip()


def _is_finished(worktree: Worktree) -> bool:
    return unfinished(worktree) is None


def _require_unfinished(worktree: Worktree) -> Journal:
    journal = unfinished(worktree)
    if journal is None:
        raise ProjectError(f"no update is unfinished in {worktree.top}")
    return journal

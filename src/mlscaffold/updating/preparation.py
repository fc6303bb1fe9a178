"""What an update checks and writes aside before it touches a file of the project."""

import os
from collections.abc import Mapping

from ..errors import BlockedPathError, ChangedMeanwhileError, DirtyTreeError, GitError, listed
from ..repository import files, index
from ..repository.worktree import Worktree, names
from .journal import Journal, Phase, state_of
from .merge import Merge


def require_room(worktree: Worktree, merge: Merge) -> None:
    """Raise BlockedPathError if the merge would write over files that are not committed.

    These are untracked files, `skip-worktree` and `assume-unchanged` files, and submodules.
    """
    going = {worktree.prefix + change.path for change in merge.changes if change.old}
    added = {worktree.prefix + change.path for change in merge.changes if not change.old}
    touched = going | added | {worktree.prefix + conflict.path for conflict in merge.conflicts}
    hidden = worktree.hidden()
    blocked = {path for path in touched if hidden & {path, *files.parents(path)}}
    if blocked:
        raise BlockedPathError(
            "the update changes what git was told to leave alone",
            blocked,
            "clear its skip-worktree or assume-unchanged flag first, or move the submodule",
        )
    found = {files.blocking_path(worktree.top, path, going=going) for path in added} - {""}
    if found:
        raise BlockedPathError(
            "the update adds files where there are some that git does not track",
            found,
            "move them away first",
        )


def write_new_files(worktree: Worktree, merge: Merge) -> None:
    """Write the new files to the state folder, as git would check them out here."""
    state = state_of(worktree)
    lines = {
        worktree.prefix + one.path: (index.line_of(one.new),) for one in merge.changes if one.new
    }
    index.set_lines(worktree, state.scratch("checkout"), lines)
    env = {"GIT_INDEX_FILE": str(state.scratch("checkout"))}
    prefix = f"--prefix={state.new}{os.sep}"
    worktree.git("checkout-index", "--all", "--force", "--quiet", prefix, env=env)
    missing = [path for path in lines if not files.digest(state.new / path)]
    if missing:
        raise GitError(f"git could not write {listed(missing)}")


def lines_unchanged(worktree: Worktree, merge: Merge) -> index.Lines:
    """Return the index's lines for what changes; raise ProjectError if HEAD or index changed."""
    found = index.lines(worktree)
    expected = {worktree.prefix + one.path: one.old for one in merge.changes}
    others = {worktree.prefix + conflict.path for conflict in merge.conflicts} - set(expected)
    committed = {path: (index.line_of(old),) if old else () for path, old in expected.items()}
    differing = {path for path, lines in committed.items() if found.get(path, ()) != lines}
    if differing or worktree.current_head() != worktree.head:
        raise ChangedMeanwhileError(worktree.folder)
    return {path: found.get(path, ()) for path in (*expected, *others)}


def keep(worktree: Worktree, merge: Merge, before: index.Lines) -> dict[str, str]:
    """Return the digest of each file by path, empty where git has none; copy those in conflict.

    Files that will be replaced are moved later; files in conflict need a copy.
    """
    kept = {
        path: files.digest_in(worktree.top, path) if lines else "" for path, lines in before.items()
    }
    changed = {worktree.prefix + change.path for change in merge.changes}
    for path in kept.keys() - changed:
        if kept[path]:
            files.copy(worktree.top / path, state_of(worktree).old / path)
    return kept


def require_content(worktree: Worktree, before: index.Lines) -> None:
    """Raise DirtyTreeError if a file's content differs from the index; ignore file times."""
    # An index without times makes git read the files.
    file = state_of(worktree).scratch("times")
    index.set_lines(worktree, file, before)
    env = {"GIT_INDEX_FILE": str(file)}
    by_content = ("-c", "diff.autoRefreshIndex=true", "diff", "--no-ext-diff")
    listed = worktree.git(*by_content, "--name-only", "--no-renames", "-z", env=env)
    if listed:
        raise DirtyTreeError(worktree.folder, names(listed))


def make_journal(
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
    lines = {path: (index.line_of(entry),) if entry else () for path, entry in new.items()}
    content = dict(kept) | {path: files.digest(state_of(worktree).new / path) for path in new}
    above = {parent for path in content if content[path] for parent in files.parents(path)}
    return Journal(
        phase=Phase.APPLYING,
        title=title,
        head=worktree.head,
        prefix=worktree.prefix,
        before=before,
        index=lines
        | {path: tuple(map(index.line_of, one.entries)) for path, one in conflicts.items()},
        content=content,
        folders=tuple(sorted(path for path in above if not files.is_folder_in(worktree.top, path))),
        marked=tuple(sorted(path for path, one in conflicts.items() if one.is_marked)),
        unmarked=tuple(sorted(path for path, one in conflicts.items() if not one.is_marked)),
        commit="",
        commits=False,
        author=author,
    )


def write_indexes(worktree: Worktree, journal: Journal) -> None:
    """Keep a copy of the index, and write the new one beside it."""
    state = state_of(worktree)
    for copy in (state.old_index, state.new_index):
        files.copy(worktree.index, copy)
    index.set_lines(worktree, state.new_index, journal.index)

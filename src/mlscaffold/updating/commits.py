"""Commits made without the working tree: from a merge, or from lines of an index."""

from collections.abc import Mapping
from pathlib import Path

from ..project import identity
from ..repository import index
from ..repository.scratch import Scratch
from ..repository.worktree import Worktree
from .merge import Merge


def import_objects(scratch: Scratch, worktree: Worktree, merge: Merge) -> None:
    """Copy what the merge needs into the project's object database; nothing refers to it yet."""
    needed = {change.new.id for change in merge.changes if change.new}
    needed |= {entry.id for conflict in merge.conflicts for entry in conflict.entries}
    packed = scratch.git("pack-objects", "--stdout", "-q", stdin="\n".join(needed).encode() + b"\n")
    worktree.git("unpack-objects", "-q", stdin=packed)


def commit_merge(
    worktree: Worktree, merge: Merge, file: Path, title: str, author: Mapping[str, str]
) -> str:
    """Commit the merge on top of HEAD and return the id; `file` is used as an index meanwhile."""
    return commit_tree(worktree, tree_of(worktree, merge, file), title, author)


def tree_of(worktree: Worktree, merge: Merge, file: Path) -> str:
    """Return the tree of HEAD with the merge; `file` is used as an index meanwhile."""
    lines = {
        worktree.prefix + change.path: (index.line_of(change.new),) if change.new else ()
        for change in merge.changes
    }
    return _tree_with(worktree, lines, file)


def commit_lines(
    worktree: Worktree, lines: index.Lines, file: Path, title: str, author: Mapping[str, str]
) -> str:
    """Commit HEAD with these lines for some paths, and return the id."""
    return commit_tree(worktree, _tree_with(worktree, lines, file), title, author)


def commit_tree(worktree: Worktree, tree: str, message: str, author: Mapping[str, str]) -> str:
    """Commit a tree on top of HEAD and return the id."""
    made = worktree.git(
        *("commit-tree", "--no-gpg-sign", tree, "-p", worktree.head, "-F", "-"),
        stdin=f"{message}\n".encode(errors="backslashreplace"),
        env=identity(author, at=worktree.top),
    )
    return made.decode().strip()


def _tree_with(worktree: Worktree, lines: index.Lines, file: Path) -> str:
    env = {"GIT_INDEX_FILE": str(file)}
    worktree.git("read-tree", worktree.head, env=env)
    index.set_lines(worktree, file, lines)
    return worktree.git("write-tree", env=env).decode().strip()

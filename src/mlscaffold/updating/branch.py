"""Commit a merge on a branch of its own, without touching the working tree."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import (
    AnswerError,
    BranchExistsError,
    BranchInUseError,
    ForeignCommitsError,
    GitError,
    OtherUpdatesError,
    shown,
)
from ..repository.scratch import Scratch
from ..repository.worktree import Worktree
from .commits import commit_tree, import_objects, tree_of
from .merge import Merge
from .wording import plain

_TRAILER = "Mlscaffold-Tree"
"""The line of a message that names the commit's tree, which who amends the commit changes."""
_OF = "Mlscaffold-Tree-Answers"
"""The line that names the answers file of the project and template, from the top."""


def commit_on(
    worktree: Worktree,
    merged: Merge,
    scratch: Scratch,
    message: str,
    author: Mapping[str, str],
    branch: str,
    *,
    answers_file: str,
) -> str:
    """Commit the merge, conflicts with their markers, move the branch there and return the id."""
    ref = f"refs/heads/{branch}"
    before = worktree.git("for-each-ref", "--format=%(objectname)", ref).decode().strip()
    with TemporaryDirectory(prefix="mlscaffold-") as folder:
        import_objects(scratch, worktree, merged)
        tree = tree_of(worktree, merged, Path(folder, "index"))
    trailers = f"{_OF}: {plain(worktree.prefix + answers_file)}\n{_TRAILER}: {tree}"
    commit = commit_tree(worktree, tree, f"{message}\n\n{trailers}", author)
    move(worktree, branch, commit, before=before)
    return commit


def move(worktree: Worktree, branch: str, commit: str, *, before: str) -> None:
    """Move a branch to a commit, if it is at `before`; if that is empty, create it."""
    before = before or "0" * len(commit)
    worktree.git("update-ref", "-m", "mlscaffold: update", f"refs/heads/{branch}", commit, before)


def require_name(worktree: Worktree, branch: str) -> None:
    try:
        # It also resolves names such as @{-1}, which can't name a branch.
        named = worktree.git("check-ref-format", "--branch", branch)
    except (GitError, ValueError):
        named = b""
    if os.fsdecode(named) != f"{branch}\n":
        raise AnswerError(f"--branch must name a branch, got {shown(branch)}")


def require_new(worktree: Worktree, branch: str, *, replaces: bool = False) -> None:
    """Raise BranchExistsError if a branch has this name, or a name that excludes it.

    `replaces` allows the name itself.
    """
    existing = worktree.git("for-each-ref", "--format=%(refname:short)", "refs/heads")
    for other in os.fsdecode(existing).splitlines():
        if replaces and other == branch:
            continue
        if f"{other}/".startswith(f"{branch}/") or f"{branch}/".startswith(f"{other}/"):
            raise BranchExistsError(other, worktree.top)


def require_replaceable(
    worktree: Worktree, branch: str, others: Sequence[str], *, updated: Collection[str]
) -> None:
    """Raise ProjectError if the branch can't be replaced without a loss.

    `others` are options of `git rev-list` for commits that stay elsewhere; `updated` are the
    answers files, from the top, of all that is updated now.
    """
    require_new(worktree, branch, replaces=True)
    asked = ("for-each-ref", "--format=%(objectname) %(worktreepath)", f"refs/heads/{branch}")
    tip, _, checked_out = os.fsdecode(worktree.git(*asked)).strip("\n").partition(" ")
    if checked_out:
        raise BranchInUseError(branch, checked_out)
    if tip:
        require_own(worktree, branch, tip, others, place=str(worktree.top), updated=updated)


def require_own(
    worktree: Worktree,
    branch: str,
    tip: str,
    others: Sequence[str],
    *,
    place: str,
    updated: Collection[str] | None = None,
) -> None:
    """Raise ForeignCommitsError if the branch has a commit that was not made here, or was changed.

    That is one that neither HEAD has nor `others`. If they have all, it may be a branch of an
    update that was merged, but not one such as main, behind HEAD, that no update was committed on.
    Raises OtherUpdatesError if it has an update of something that is not in `updated`.
    """
    trees, files = (f"%(trailers:key={key},valueonly,separator=%x20)" for key in (_TRAILER, _OF))
    form = f"--format=%T%x00{trees}%x00{files}"
    listed = worktree.git(
        *("rev-list", "--no-commit-header", form, tip, "--not", worktree.head, *others)
    )
    rows = [line.split("\0") for line in listed.decode(errors="replace").splitlines()]
    is_own = all(recorded == tree for tree, recorded, _ in rows)
    if not (is_own and (rows or _is_of_updates(worktree, tip))):
        shallow = worktree.git("rev-parse", "--is-shallow-repository").strip() == b"true"
        hint = " (this clone is shallow: `git fetch --unshallow` first)" if shallow else ""
        raise ForeignCommitsError(branch, place, hint)
    left = {file for _, _, file in rows if file} - set(map(plain, updated or ()))
    if left and updated is not None:
        raise OtherUpdatesError(branch, place, left)


def _is_of_updates(worktree: Worktree, tip: str) -> bool:
    """Return whether an update was committed on a branch itself, not on one merged into it."""
    asked = ("rev-list", "--first-parent", "--max-count=1", "--basic-regexp")
    return bool(worktree.git(*asked, f"--grep=^{_TRAILER}: ", tip))


def range_of(worktree: Worktree, tip: str) -> list[tuple[str, str]]:
    """Return the commits from HEAD to a branch's tip, oldest first, each with its tree.

    Empty if HEAD is not the commit that the branch starts at.
    """
    asked = ("rev-list", "--reverse", "--no-commit-header", "--format=%H %T %P", tip)
    listed = worktree.git(*asked, "--not", worktree.head).decode().splitlines()
    rows = [line.split(" ", 2) for line in listed]
    if not rows or rows[0][2] != worktree.head:
        return []
    return [(commit, tree) for commit, tree, _ in rows]

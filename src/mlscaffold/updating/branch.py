"""Commit a merge on a new branch, without touching the working tree."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import AnswerError, BranchExistsError, GitError, shown
from ..repository.scratch import Scratch
from ..repository.worktree import Worktree
from .commits import commit_merge, import_objects
from .merge import Merge


def commit_on(
    worktree: Worktree,
    merged: Merge,
    scratch: Scratch,
    title: str,
    author: Mapping[str, str],
    branch: str,
) -> str:
    """Commit the merge on a new branch; conflicts keep their markers and are in the message."""
    ref = f"refs/heads/{branch}"
    before = worktree.git("for-each-ref", "--format=%(objectname)", ref).decode().strip()
    if merged.conflicts:
        listed = (f"- {one.path}: {one.reason}" for one in merged.conflicts)
        title = "\n".join([title, "", "Conflicts, to be resolved before this is merged:", *listed])
    with TemporaryDirectory(prefix="mlscaffold-") as folder:
        import_objects(scratch, worktree, merged)
        index = Path(folder, "index")
        commit = commit_merge(worktree, merged, index, title, author)
    before = before or "0" * len(commit)
    worktree.git("update-ref", "-m", "mlscaffold: update", ref, commit, before)
    return commit


def require_name(worktree: Worktree, branch: str) -> None:
    try:
        # It also resolves names such as @{-1}, which can't name a branch.
        named = worktree.git("check-ref-format", "--branch", branch)
    except (GitError, ValueError):
        named = b""
    if os.fsdecode(named) != f"{branch}\n":
        raise AnswerError(f"--branch must name a branch, got {shown(branch)}")


def require_new(worktree: Worktree, branch: str) -> None:
    existing = worktree.git("for-each-ref", "--format=%(refname:short)", "refs/heads")
    for other in os.fsdecode(existing).splitlines():
        if f"{other}/".startswith(f"{branch}/") or f"{branch}/".startswith(f"{other}/"):
            raise BranchExistsError(other, worktree.top)

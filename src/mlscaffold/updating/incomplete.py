"""The base of a project that was adopted and lacks most of the template's files."""

from ..repository.scratch import Scratch
from ..repository.worktree import Worktree


def without_missing(scratch: Scratch, worktree: Worktree, tree: str, *, answers_file: str) -> str:
    """Return a render without the files that the project lacks, which a merge then adds.

    The answers file becomes the project's own, so that the merge replaces it.
    """
    ours = scratch.entries(worktree.tree())
    missing = scratch.paths(tree) - ours.keys()
    own = {answers_file: ours[answers_file]} if answers_file in ours else {}
    return scratch.edited(tree, {**dict.fromkeys(missing), **own})

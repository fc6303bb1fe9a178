"""Files that a template writes only where they do not exist: copier's `_skip_if_exists`."""

import os
from collections.abc import Callable, Collection

from ..repository.scratch import Scratch
from ..repository.worktree import Worktree


def without_existing(
    scratch: Scratch,
    worktree: Worktree,
    old: str,
    new: str,
    *,
    skipped: Callable[[Collection[str]], Collection[str]],
) -> tuple[str, str, dict[str, str]]:
    """Return two renders without the files that an update leaves alone, and why it does by path.

    `skipped` selects the paths that the template writes once. One that the project has deleted
    stays in the new render alone, so it is written again, as copier does.
    """
    in_old, in_new = scratch.paths(old), scratch.paths(new)
    once = set(skipped(in_old | in_new))
    if not once:
        return old, new, {}
    ours = scratch.paths(worktree.tree())
    existing = {path for path in once if path in ours or os.path.lexists(worktree.folder / path)}
    changed = {change.path for change in scratch.changes(old, new) if change.new}
    return (
        scratch.without(old, once & in_old),
        scratch.without(new, existing & in_new),
        dict.fromkeys(
            sorted(existing & changed), "the template writes it only where there is none"
        ),
    )

"""Updates many projects: several at a time, those of one repository in turn."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from .project import why_no_project
from .rendering.renders import Renders, open_renders
from .update import Outcome, Updated, Wish, update


def update_all(paths: Sequence[Path], wish: Wish, *, jobs: int = 1) -> Iterator[Updated]:
    """What becomes of each project, as soon as it is known; one that fails stops no other.

    A release is rendered once for all projects that have the same answers. Projects of one
    repository share its lock, and one branch with a commit for each, when a branch is wished for.
    """
    rows: SimpleQueue[Updated] = SimpleQueue()
    with open_renders() as renders, ThreadPoolExecutor(max_workers=jobs) as executor:
        try:
            for group in _by_repository(paths):
                executor.submit(_update_in_turn, group, wish, renders, rows)
            for _ in paths:
                yield rows.get()
        finally:
            # Those at work come to their end, those that wait are left as they are.
            executor.shutdown(cancel_futures=True)


def _by_repository(paths: Sequence[Path]) -> list[list[Path]]:
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        folder = path.resolve()
        around = (one for one in (folder, *folder.parents) if (one / ".git").exists())
        groups.setdefault(next(around, folder), []).append(path)
    return list(groups.values())


def _update_in_turn(
    paths: Sequence[Path], wish: Wish, renders: Renders, rows: SimpleQueue[Updated]
) -> None:
    onto = ""
    for path in paths:
        row = _updated(path, wish, renders, onto=onto)
        onto = row.commit if row.branch else onto
        rows.put(row)


def _updated(path: Path, wish: Wish, renders: Renders, *, onto: str) -> Updated:
    try:
        if problem := why_no_project(path):
            return Updated(project=path, outcome=Outcome.SKIPPED, problem=problem)
        # Absolute: copier, in another thread, may change the working directory.
        return replace(update(path.absolute(), wish, renders=renders, onto=onto), project=path)
    except Exception as error:  # Whatever it is, it stops no other.
        problem = " ".join(str(error).split()) or type(error).__name__
        return Updated(project=path, outcome=Outcome.FAILED, problem=problem)

"""Update one project or many: several at a time, those of one repository after each other."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from .project import why_no_project
from .rendering.render_cache import RenderCache, open_render_cache
from .update import Outcome, UpdateRequest, UpdateResult, update
from .updating.publication import published


def update_one(path: Path, request: UpdateRequest) -> list[UpdateResult]:
    """Return the result of one project; raise MlscaffoldError if it can't be updated."""
    done = [update(path, request)]
    return published(done, request.branch) if request.opens_pr else done


def update_all(
    paths: Sequence[Path], request: UpdateRequest, *, jobs: int = 1
) -> Iterator[UpdateResult]:
    """Yield the result of each project as soon as it is known; a failure stops no other.

    A release is rendered once for all projects that have the same answers. Projects of one
    repository share its lock, and one branch with a commit for each, when a branch is requested.
    """
    rows: SimpleQueue[UpdateResult] = SimpleQueue()
    with open_render_cache() as cache, ThreadPoolExecutor(max_workers=jobs) as executor:
        try:
            for group in _by_repository(paths):
                executor.submit(_update_in_turn, group, request, cache, rows)
            for _ in paths:
                yield rows.get()
        finally:
            # Running updates finish; waiting ones are not started.
            executor.shutdown(cancel_futures=True)


def _by_repository(paths: Sequence[Path]) -> list[list[Path]]:
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        folder = path.resolve()
        around = (one for one in (folder, *folder.parents) if (one / ".git").exists())
        groups.setdefault(next(around, folder), []).append(path)
    return list(groups.values())


def _update_in_turn(
    paths: Sequence[Path],
    request: UpdateRequest,
    cache: RenderCache,
    rows: SimpleQueue[UpdateResult],
) -> None:
    onto = ""
    done = []
    request = replace(request, beside=tuple(path.absolute() for path in paths))
    for path in paths:
        row = _updated(path, request, cache, onto=onto)
        onto = row.commit if row.branch else onto
        done.append(row)
        if not request.opens_pr:
            rows.put(row)
    if request.opens_pr:
        for path, row in zip(paths, _published(done, request.branch), strict=True):
            rows.put(replace(row, project=path))


def _updated(path: Path, request: UpdateRequest, cache: RenderCache, *, onto: str) -> UpdateResult:
    try:
        if problem := why_no_project(path, request.answers_file):
            return UpdateResult(project=path, outcome=Outcome.SKIPPED, problem=problem)
        # Absolute: copier, in another thread, may change the working directory.
        row = update(path.absolute(), request, cache=cache, onto=onto)
        return row if request.opens_pr else replace(row, project=path)
    except Exception as error:  # Any error: it must not stop the other updates.
        return UpdateResult(project=path, outcome=Outcome.FAILED, problem=_line(error))


def _published(rows: Sequence[UpdateResult], branch: str) -> list[UpdateResult]:
    """Return the rows of one repository after their branch was pushed."""
    try:
        return published(rows, branch)
    except Exception as error:
        return [
            replace(row, outcome=Outcome.FAILED, problem=_line(error)) if row.branch else row
            for row in rows
        ]


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

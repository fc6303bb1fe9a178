"""Find the projects whose template has a newer release."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from .errors import MlscaffoldError, TemplateError
from .project import open_project, why_no_project
from .rendering.releases import Releases, open_releases, version_of


class Standing(StrEnum):
    """How a project's release compares with the newest one that is known."""

    CURRENT = "current"
    OUTDATED = "outdated"
    AHEAD = "ahead"
    """Made by a newer release than is known here."""
    UNRELEASED = "unreleased"
    """Made from a commit that the template does not have, so there is nothing to compare."""
    UNREADABLE = "unreadable"
    SKIPPED = "skipped"
    """One of several folders, and not a generated project."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result for one project."""

    project: Path
    standing: Standing
    release: str = ""
    latest: str = ""
    problem: str = ""
    """Why it is skipped, or why the project or its template can't be read."""


def check(
    paths: Sequence[Path], *, answers_file: str = "", prereleases: bool = False
) -> Iterator[Checked]:
    """Yield the result for each project; one that can't be read does not stop the others.

    If there are several folders, those that are not projects are skipped, as in `~/repos/*`.
    """
    with ExitStack() as stack:
        # Many projects share few templates.
        releases_of = cache(lambda template: stack.enter_context(open_releases(template)))
        for path in paths:
            if len(paths) > 1 and (problem := why_no_project(path, answers_file)):
                yield Checked(project=path, standing=Standing.SKIPPED, problem=problem)
            else:
                yield _checked(path, answers_file, releases_of, prereleases=prereleases)


def _checked(
    path: Path,
    answers_file: str,
    releases_of: Callable[[str], Releases],
    *,
    prereleases: bool,
) -> Checked:
    try:
        project = open_project(path, answers_file)
        releases = releases_of(project.template)
        latest = releases.latest(prereleases=prereleases)
        standing = _standing(project.commit, latest, releases)
    except MlscaffoldError as error:
        return Checked(project=path, standing=Standing.UNREADABLE, problem=str(error))
    return Checked(project=path, standing=standing, release=project.commit, latest=latest)


def _standing(commit: str, latest: str, releases: Releases) -> Standing:
    ours, theirs = version_of(commit), version_of(latest)
    if ours and theirs and ours != theirs:
        return Standing.OUTDATED if ours < theirs else Standing.AHEAD
    try:
        is_outdated = releases.is_before(commit, latest)
    except TemplateError:
        return Standing.CURRENT if ours and theirs else Standing.UNRELEASED
    return Standing.OUTDATED if is_outdated else Standing.CURRENT

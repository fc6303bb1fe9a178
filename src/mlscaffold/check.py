"""Tells for which projects a newer release of their template is there."""

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
    """How a project's release stands to the newest that is known."""

    CURRENT = "current"
    OUTDATED = "outdated"
    AHEAD = "ahead"
    """Made by a newer release than is known here."""
    UNRELEASED = "unreleased"
    """Made from a commit that the template does not have, so there is nothing to compare."""
    UNREADABLE = "unreadable"
    SKIPPED = "skipped"
    """Among several folders, one that no template made."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One project's standing."""

    project: Path
    standing: Standing
    release: str = ""
    latest: str = ""
    problem: str = ""
    """Why it is skipped, or the project or its template can't be read."""


def check(paths: Sequence[Path]) -> Iterator[Checked]:
    """Yield the standing of each project; one that can't be read does not stop the others.

    Of several folders, those that are no projects are skipped: `~/repos/*` holds all kinds.
    """
    with ExitStack() as stack:
        # Many projects, few templates.
        releases_of = cache(lambda template: stack.enter_context(open_releases(template)))
        for path in paths:
            if len(paths) > 1 and (problem := why_no_project(path)):
                yield Checked(project=path, standing=Standing.SKIPPED, problem=problem)
            else:
                yield _checked(path, releases_of)


def _checked(path: Path, releases_of: Callable[[str], Releases]) -> Checked:
    try:
        project = open_project(path)
        releases = releases_of(project.template)
        standing = _standing(project.commit, releases)
        latest = releases.latest()
    except MlscaffoldError as error:
        return Checked(project=path, standing=Standing.UNREADABLE, problem=str(error))
    return Checked(project=path, standing=standing, release=project.commit, latest=latest)


def _standing(commit: str, releases: Releases) -> Standing:
    latest = releases.latest()
    ours, theirs = version_of(commit), version_of(latest)
    if ours and theirs and ours != theirs:
        return Standing.OUTDATED if ours < theirs else Standing.AHEAD
    try:
        is_outdated = releases.is_before(commit, latest)
    except TemplateError:
        return Standing.CURRENT if ours and theirs else Standing.UNRELEASED
    return Standing.OUTDATED if is_outdated else Standing.CURRENT

"""Tells for which projects a newer release of their template is there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from .errors import MlscaffoldError
from .project import is_project, open_project
from .rendering.releases import open_releases, version_of


class Standing(StrEnum):
    """How a project's release stands to the newest that is known."""

    CURRENT = "current"
    OUTDATED = "outdated"
    AHEAD = "ahead"
    """Made by a newer release than is known here."""
    UNRELEASED = "unreleased"
    """Made from a commit that no version names, so there is nothing to compare."""
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
    """The standing of each project, one by one; one that can't be read does not stop the others.

    Of several folders, those that are no projects are skipped: `~/repos/*` holds all kinds.
    """
    # Many projects, few templates.
    latest = cache(_latest)
    for path in paths:
        if len(paths) > 1 and not is_project(path):
            yield Checked(project=path, standing=Standing.SKIPPED, problem="no generated project")
        else:
            yield _checked(path, latest)


def _checked(path: Path, latest_of: Callable[[str], str]) -> Checked:
    try:
        project = open_project(path)
        latest = latest_of(project.template)
    except MlscaffoldError as error:
        return Checked(project=path, standing=Standing.UNREADABLE, problem=str(error))
    standing = _standing(project.commit, latest)
    return Checked(project=path, standing=standing, release=project.commit, latest=latest)


def _latest(template: str) -> str:
    with open_releases(template) as releases:
        return releases.latest()


def _standing(commit: str, latest: str) -> Standing:
    ours, theirs = version_of(commit), version_of(latest)
    if ours is None or theirs is None:
        return Standing.UNRELEASED
    if ours == theirs:
        return Standing.CURRENT
    return Standing.OUTDATED if ours < theirs else Standing.AHEAD

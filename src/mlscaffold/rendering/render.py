"""Render a template into a folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import TemplateError, shown
from ..repository import git
from . import engine, folders
from .releases import Releases


def render(
    releases: Releases,
    *,
    ref: str,
    data: Mapping[str, Any],
    into: Path,
    answers_file: str = "",
    operation: engine.Operation = "copy",
    project: str = "",
) -> None:
    """Write the project into the folder `into` with copier, without network or questions.

    Raises TemplateError with copier's own reason when the template refuses, and when it makes
    anything that git takes for its own: git would run what a `.git` from a template says.
    """
    options: Mapping[str, Any] = {
        "ref": ref,
        "data": dict(data),
        "answers_file": answers_file,
        "operation": operation,
        "project": project,
    }
    if releases.trusted:
        engine.write(releases, into=into, **options)
    else:
        into = into.absolute()
        releases.in_sandbox("render", writes=into, into=into, **options)
    _require_nothing_of_git(into)


def _require_nothing_of_git(folder: Path) -> None:
    """Raise TemplateError at a name, or a link's target, that git treats as `.git`."""
    for entry in folders.entries(folder):
        target = os.readlink(entry) if entry.is_symlink() else ""  # noqa: PTH115 (no Path for each)
        if git.is_git_name(entry.name) or git.is_git_name(target):
            made = shown(Path(entry).relative_to(folder).as_posix())
            raise TemplateError(
                f"the template can't be rendered: it makes {made}, which git takes for its own"
            )

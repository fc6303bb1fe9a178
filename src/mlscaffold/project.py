"""A generated project on disk, and the answers that it records."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import git
from .errors import ProjectError
from .questions import Value

ANSWERS_FILE = ".copier-answers.yml"


@dataclass(frozen=True, kw_only=True)
class Project:
    """A folder that a template was rendered into."""

    path: Path
    template: str
    """Where the template comes from, in copier's spelling."""
    commit: str
    """The template's release, or the commit in `git describe`'s form."""
    answers: Mapping[str, Value]


def is_project(path: Path) -> bool:
    """Whether a template was rendered into this folder."""
    return (path / ANSWERS_FILE).is_file()


def open_project(path: Path) -> Project:
    """The project in the folder `path`; raises ProjectError when there is none to be read."""
    recorded = _recorded(path / ANSWERS_FILE)
    template, commit = recorded.pop("_src_path", None), recorded.pop("_commit", None)
    if not (isinstance(template, str) and isinstance(commit, str)):
        raise ProjectError(f"{path / ANSWERS_FILE} must hold _src_path and _commit")
    answers = {key: value for key, value in recorded.items() if not key.startswith("_")}
    return Project(path=path, template=template, commit=commit, answers=answers)


def first_commit(path: Path, *, message: str, author: Mapping[str, str]) -> str:
    """The id of the commit that makes the folder a repository with all its files on `main`.

    The user's git identity signs it, else `author` (name, email). No other setting or hook of the
    user takes part: none that the project does not know can change or refuse its first commit.
    """
    git.run("init", "--quiet", "--template=", "--initial-branch=main", cwd=path)
    git.run("add", "--all", cwd=path)
    git.run("commit", "--quiet", f"--message={message}", cwd=path, env=_identity(author))
    return git.run("rev-parse", "HEAD", cwd=path)


def _identity(author: Mapping[str, str]) -> dict[str, str]:
    name, email = git.setting("user.name"), git.setting("user.email")
    if not (name and email):
        name, email = author["name"], author["email"]
    return {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", name), ("EMAIL", email))
    }


def _recorded(path: Path) -> dict[str, Any]:
    try:
        recorded = yaml.safe_load(path.read_bytes())
    except FileNotFoundError as error:
        raise ProjectError(f"{path.parent} is no generated project: no {path.name}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ProjectError(f"{path} can't be read: {str(error).splitlines()[0]}") from error
    if not isinstance(recorded, dict):
        raise ProjectError(f"{path} must hold answers by name")
    return {str(key): value for key, value in recorded.items()}

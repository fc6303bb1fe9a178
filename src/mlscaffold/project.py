"""A generated project and the answers that it records."""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

from .errors import (
    AnswerError,
    AnswersFileError,
    GitError,
    NotAProjectError,
    ProjectFileError,
    shown,
)
from .repository import git
from .repository.worktree import require_folder

_NOBODY = {"name": "mlscaffold", "email": "mlscaffold@users.noreply.github.com"}
"""The committer if neither git nor the answers name one."""
_MAX_BYTES = 100_000
ANSWERS_FILE = ".copier-answers.yml"
INCOMPLETE = "_incomplete"
"""The key of an answers file that makes a project incomplete, until its next update."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A folder that a template was rendered into."""

    path: Path
    template: str
    """The template as it is recorded, in the form that copier expects."""
    commit: str
    """The release: a tag, or a commit as `git describe` prints it."""
    answers: Mapping[str, Any]
    answers_file: str
    """Where they are recorded: a path relative to the project, one for each of its templates."""
    is_incomplete: bool = False
    """Whether the files of the release that it lacks were never there, as after `adopt`."""

    @property
    def chosen_answers_file(self) -> str:
        """The answers file, or "" for the one that a template writes unless it is told another."""
        return "" if self.answers_file == ANSWERS_FILE else self.answers_file


def is_project(path: Path, answers_file: str = "") -> bool:
    """Return whether a template was rendered into this folder."""
    return (path / (answers_file or ANSWERS_FILE)).is_file()


def why_no_project(path: Path, answers_file: str = "") -> str:
    """Return why `path` is not a project, empty if it is one."""
    if is_project(path, answers_file):
        return ""
    return "no generated project" if path.exists() else "it does not exist"


def open_project(path: Path, answers_file: str = "") -> Project:
    """Read the project in the folder `path`; raises ProjectError if that is not possible."""
    require_folder(path)
    answers_file = require_relative(answers_file or ANSWERS_FILE)
    file = path / answers_file
    recorded = _recorded(path, answers_file)
    template, commit = recorded.pop("_src_path", None), recorded.pop("_commit", None)
    for key, value in (("_src_path", template), ("_commit", commit)):
        if not (isinstance(value, str) and _is_name(value)):
            found = shown(value) if isinstance(value, str) else type(value).__name__
            raise AnswersFileError(
                file,
                "must name the template in _src_path and its release in _commit; "
                f"{key} is {'missing' if value is None else found}",
            )
    return Project(
        path=path,
        template=template,
        commit=commit,
        answers=_answers(recorded),
        answers_file=answers_file,
        is_incomplete=recorded.get(INCOMPLETE) is True,
    )


def partly_recorded(path: Path, answers_file: str = "") -> tuple[str, dict[str, Any]]:
    """Return the template and the answers that a folder records, as far as it records them.

    Raises ProjectError if its answers file can't be read.
    """
    answers_file = require_relative(answers_file or ANSWERS_FILE)
    if not is_project(path, answers_file):
        return "", {}
    recorded = _recorded(path, answers_file)
    return str(recorded.get("_src_path") or ""), _answers(recorded)


def _recorded(path: Path, answers_file: str) -> dict[str, Any]:
    """Return what an answers file holds."""
    file = path / answers_file
    try:
        recorded = read_file(file, AnswersFileError)
    except FileNotFoundError as error:
        raise NotAProjectError(path, PurePath(answers_file).as_posix()) from error
    if not isinstance(recorded, dict):
        raise AnswersFileError(file, "must hold answers by name")
    return {str(key): value for key, value in recorded.items()}


def _answers(recorded: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in recorded.items() if not key.startswith("_")}


def require_relative(answers_file: str) -> str:
    """Return the path of an answers file, without `./`; raise AnswerError if it is not inside."""
    path = PurePath(answers_file)
    if path.is_absolute() or ".." in path.parts or not path.name or not answers_file.isprintable():
        raise AnswerError(
            f"--answers-file must be a path inside the project, got {shown(answers_file)}"
        )
    return path.as_posix()


def first_commit(path: Path, *, message: str, author: Mapping[str, str]) -> str:
    """Make the folder a repository with all its files in a commit on `main`; return its id.

    The author is the user in git's settings, else `author` (name, email). No other setting and no
    hook of the user can change or refuse the commit.
    """
    git.run("init", "--quiet", "--template=", "--initial-branch=main", cwd=path)
    git.run("add", "--all", cwd=path)
    git.run("commit", "--quiet", f"--message={message}", cwd=path, env=identity(author))
    return git.run("rev-parse", "HEAD", cwd=path)


def identity(author: Mapping[str, str], *, at: Path | None = None) -> dict[str, str]:
    """Return git's variables for the committer: the user in git's settings, otherwise `author`.

    What is empty in `author` (name, email) is filled in with mlscaffold's own.
    """
    variables = {}
    for role in ("AUTHOR", "COMMITTER"):
        try:
            asked = ("-c", "user.useConfigOnly=true", "var", f"GIT_{role}_IDENT")
            known = git.run(*asked, cwd=at, isolated=False)
            name, _, email = known.rpartition(">")[0].rpartition(" <")
        except GitError:
            name, email = (author.get(key) or ours for key, ours in _NOBODY.items())
        variables |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": email}
    return variables


class _Loader(yaml.SafeLoader):
    """Load plain values, without aliases, which could expand a small file to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias")
        return super().compose_node(parent, index)


def _is_name(value: str) -> bool:
    """Return whether the value can be the name of a template or a release."""
    return value.isprintable() and 0 < len(value) <= 1000 and not value.startswith("-")


def read_file(file: Path, error: type[ProjectFileError]) -> Any:
    """Return what a small YAML file of a project holds.

    Raises FileNotFoundError if there is none, otherwise `error` if it can't be read.
    """
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise error(file, f"is no file of at most {_MAX_BYTES} bytes")
        return yaml.load(file.read_bytes(), _Loader)
    except FileNotFoundError:
        raise
    # ValueError: a value that looks like a date, or a number with too many digits.
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as cause:
        reason = getattr(cause, "problem", None) or str(cause).splitlines()[0]
        mark = getattr(cause, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise error(file, f"can't be read{where}: {reason}{error.fix}") from cause

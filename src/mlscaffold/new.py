"""Create a project in a temporary folder beside the destination, then rename the folder."""

import re
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from .errors import AnswerError, DestinationError, shown
from .lock import write_lock
from .project import first_commit, require_relative
from .rendering import folders
from .rendering.answers import Ask, answer
from .rendering.engine import run_commands
from .rendering.releases import Releases, open_releases
from .rendering.render import render
from .repository import git
from .repository.git import without_secrets
from .repository.worktree import enclosing

# Called with a line that names the current step.
Progress = Callable[[str], None]

_UV_MAY_RUN_CODE = "uv may run code of this template"
_UNASKED = f"{_UV_MAY_RUN_CODE}, --lock lets it"


@dataclass(frozen=True, kw_only=True)
class NewProject:
    """A project that was created, or in a dry run would have been."""

    path: Path
    template: str
    """Its address, without a password."""
    release: str
    answers: Mapping[str, Any]
    files: tuple[str, ...] = ()
    """Paths relative to the project, without .git."""
    commit: str = ""
    """The id of the first commit, empty if there is none."""
    next: tuple[str, ...] = ()
    """Commands to type in the project, as its template lists them."""
    repository: str = ""
    """The working tree around the project, which gets no repository of its own there."""
    unlocked_because: str = ""
    """Why there is no uv.lock although it was requested."""


def new(
    destination: str,
    *,
    given: Mapping[str, str],
    preset: str = "standard",
    template: str | None = None,
    ref: str | None = None,
    prereleases: bool = False,
    answers_file: str = "",
    trust: bool = False,
    ask: Ask | None = None,
    review: Callable[["NewProject"], None] = lambda _: None,
    with_git: bool = True,
    with_lock: bool | None = None,
    confirm: Callable[[str], bool] = lambda _: False,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> NewProject:
    """Render the template into the folder `destination`, lock it and make its first commit.

    If anything fails, and in a dry run, nothing is left behind.

    Args:
        destination: A path that does not exist, or an empty folder.
        given: Answers by question, as text; they override those of the preset.
        preset: The name of a set of answers.
        template: A git URL or folder; by default the bundled template.
        ref: A release, branch or commit; by default the latest release.
        prereleases: Whether the latest release may be no final one.
        answers_file: Where the answers are recorded; by default where the template says.
        trust: Whether the template may run its tasks and Jinja extensions.
        ask: Asks for an answer that is not given; by default the template's default is taken.
        review: Gets the project before anything is written, and may raise to prevent it.
        with_git: Whether to create a repository with a first commit, unless another repository
            keeps the folder.
        with_lock: Whether to write uv.lock. By default the bundled template's project is locked,
            and another one if `confirm` returns True, since uv may run code of the template.
        confirm: Asks a yes-or-no question.
        dry_run: Whether to only list the files.
        progress: Is called with each step.
    """
    target = _free(destination)
    with open_releases(template, may_run_code=trust) as releases:
        release = releases.find(ref, prereleases=prereleases)
        given = {**_preset_answers(releases, release, preset), **given}
        answered = answer(
            *(releases, release),
            given=given,
            suggested=_suggested(target.name, releases, release),
            ask=ask,
            project=target,
        )
        project = NewProject(
            path=target,
            template=without_secrets(releases.source),
            release=release,
            answers=answered.answers,
            repository=str(enclosing(target) or "") if with_git else "",
            next=releases.components(release).next,
        )
        if not dry_run:
            review(project)
        if with_lock is None and not dry_run:
            with_lock = releases.trusted or confirm("Lock the dependencies? " + _UV_MAY_RUN_CODE)
            project = replace(project, unlocked_because="" if with_lock else _UNASKED)
        with ExitStack() as stack:
            folder = stack.enter_context(_elsewhere(target) if dry_run else _beside(target))
            progress("Rendering the files")
            render(
                releases,
                ref=release,
                data=answered.data,
                into=folder,
                answers_file=answers_file and require_relative(answers_file),
            )
            if dry_run:
                return replace(project, files=_files(folder))
            if releases.may_run_code:
                # They may write the folder's path into files, so it has to be the final one.
                folder = stack.enter_context(_placed(folder, target))
                progress("Running the template's commands")
                run_commands(releases, ref=release, data=answered.data, project=folder)
            project = _completed(
                project,
                folder,
                with_git=with_git and not project.repository,
                with_lock=bool(with_lock),
                progress=progress,
            )
            if folder != target:
                folder.replace(target)
    return project


def _completed(
    project: NewProject, folder: Path, *, with_git: bool, with_lock: bool, progress: Progress
) -> NewProject:
    """Write the lock file and the first commit in `folder`; return the project with both."""
    commit = ""
    if with_lock:
        progress("Resolving the dependencies")
        project = replace(project, unlocked_because=write_lock(folder))
    files = _files(folder)
    if with_git:
        progress("Making the first commit")
        author = {key: str(project.answers.get(f"author_{key}", "")) for key in ("name", "email")}
        message = f"Start from the template's release {project.release}"
        commit = first_commit(folder, message=message, author=author)
    return replace(project, files=files, commit=commit)


def _preset_answers(releases: Releases, release: str, preset: str) -> Mapping[str, str]:
    """Return the answers of a preset; raises AnswerError if there is no such preset."""
    presets = releases.components(release).presets
    if preset.lower() not in presets:
        raise AnswerError(f"--preset must be one of {', '.join(presets)}; got {shown(preset)}")
    return presets[preset.lower()]


def _suggested(folder: str, releases: Releases, release: str) -> dict[str, str]:
    """Suggest the folder's name, the author in git's settings, and this Python's version."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-._")
    author = {f"author_{key}": git.setting(f"user.{key}") for key in ("name", "email")}
    usable = {k: v for k, v in author.items() if v and not releases.complaint(release, k, v, {})}
    python = "{}.{}".format(*sys.version_info)
    questions = releases.questions(release)
    if any(one.name == "python_version" and python in one.values for one in questions):
        usable["python_version"] = python
    return {"project_name": name or folder, **usable}


def _free(destination: str) -> Path:
    """Return the destination's absolute path; raise DestinationError if it can't be used."""
    if not destination.isprintable() or not destination.strip():
        raise DestinationError(f"DEST must be the path of a folder, got {shown(destination)}")
    try:
        target = Path(destination).resolve()
        occupied = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:
        reason = error.strerror or str(error)
        raise DestinationError(f"{shown(destination)} can't be used: {reason}") from error
    if occupied:
        raise DestinationError(f"{target} exists and is not an empty folder: give another DEST")
    return target


@contextmanager
def _elsewhere(target: Path) -> Generator[Path]:
    """Yield a temporary folder of the target's name, which a template may ask for."""
    with folders.temporary() as temporary:
        folder = temporary / target.name
        folder.mkdir()
        yield folder


@contextmanager
def _beside(target: Path) -> Generator[Path]:
    """Yield a folder of the target's name beside it, removed at the end unless it was renamed."""
    missing = [parent for parent in target.parents if not parent.exists()]
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=".mlscaffold-", dir=target.parent))
        folder = temporary / target.name
        folder.mkdir()
        yield folder
    except OSError as error:
        reason = error.strerror or str(error)
        raise DestinationError(f"{target} can't be written: {reason}") from error
    finally:
        _remove(temporary, missing)


@contextmanager
def _placed(folder: Path, target: Path) -> Generator[Path]:
    """Rename the folder to `target` and yield that; remove it if the block fails."""
    folder.replace(target)
    try:
        yield target
    except BaseException:
        _remove(target, [])
        raise


def _remove(folder: Path | None, parents: list[Path]) -> None:
    if folder is not None:
        with suppress(OSError):
            folders.remove(folder)
    for parent in parents:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def _files(folder: Path) -> tuple[str, ...]:
    found = (Path(one).relative_to(folder) for one in folders.entries(folder))
    files = (path for path in found if path.parts[0] != ".git" and not (folder / path).is_dir())
    return tuple(sorted(path.as_posix() for path in files))

"""Makes a new project: everything beside its destination, then one rename."""

import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from .errors import AnswerError, DestinationError, shown
from .lock import write_lock
from .project import first_commit
from .rendering import folders
from .rendering.answers import Ask, Complaint, resolve
from .rendering.questions import Question, Value
from .rendering.releases import Releases, open_releases
from .rendering.render import render
from .repository import git

# Is told what happens now, for a line of progress.
Progress = Callable[[str], None]

_UV_MAY_RUN_CODE = "uv may run code of this template"
_UNASKED = f"{_UV_MAY_RUN_CODE}, --lock lets it"


@dataclass(frozen=True, kw_only=True)
class NewProject:
    """What was made, or in a dry run would have been."""

    path: Path
    template: str
    release: str
    answers: Mapping[str, Value]
    files: tuple[str, ...] = ()
    """Paths from the project's top, without git's own."""
    commit: str = ""
    """The first commit's id, empty without one."""
    unlocked_because: str = ""
    """Why there is no uv.lock though one was asked for."""


def new(
    destination: str,
    *,
    given: Mapping[str, str],
    preset: str = "standard",
    template: str | None = None,
    ref: str | None = None,
    ask: Ask | None = None,
    with_git: bool = True,
    with_lock: bool | None = None,
    confirm: Callable[[str], bool] = lambda _: False,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> NewProject:
    """RenderCache the template into the folder `destination`, locks it and makes its first commit.

    Whatever goes wrong, and in a dry run, nothing is left behind and nothing there is touched.
    Where `with_lock` does not say, a project of our own template is locked, and another's when
    `confirm` says yes: to resolve its dependencies uv may run code that the template brings.
    """
    target = _free(destination)
    with open_releases(template) as releases:
        release = releases.find(ref)
        given = {**_preset_answers(releases, release, preset), **given}
        answers = _answers(releases, release, given=given, folder=target.name, ask=ask)
        project = NewProject(
            path=target, template=releases.source, release=release, answers=answers
        )
        if with_lock is None and not dry_run:
            with_lock = releases.trusted or confirm("Lock the dependencies? " + _UV_MAY_RUN_CODE)
            project = replace(project, unlocked_because="" if with_lock else _UNASKED)
        with folders.temporary() if dry_run else _beside(target) as folder:
            progress("Rendering the files")
            render(releases, ref=release, answers=answers, into=folder)
            if dry_run:
                return replace(project, files=_files(folder))
            project = _completed(
                project, folder, with_git=with_git, with_lock=bool(with_lock), progress=progress
            )
            folder.replace(target)
    return project


def _completed(
    project: NewProject, folder: Path, *, with_git: bool, with_lock: bool, progress: Progress
) -> NewProject:
    """The project after its lock file and first commit were made in `folder`."""
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


def _answers(
    releases: Releases, release: str, *, given: Mapping[str, str], folder: str, ask: Ask | None
) -> dict[str, Value]:
    questions = releases.questions(release)
    complaint = partial(releases.complaint, release)
    return resolve(
        questions,
        given=given,
        suggested=_suggested(folder, questions, complaint),
        complaint=complaint,
        ask=ask,
    )


def _preset_answers(releases: Releases, release: str, preset: str) -> Mapping[str, str]:
    """The answers that a preset stands for; raises AnswerError when there is no such preset."""
    presets = releases.components(release).presets
    if preset not in presets:
        raise AnswerError(f"--preset must be one of {', '.join(presets)}; got {shown(preset)}")
    return presets[preset]


def _suggested(folder: str, questions: Iterable[Question], complaint: Complaint) -> dict[str, str]:
    """A name made from the folder's, the author as git knows them, and this Python's version."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-._")
    author = {f"author_{key}": git.setting(f"user.{key}") for key in ("name", "email")}
    usable = {k: v for k, v in author.items() if v and not complaint(k, v, {})}
    python = "{}.{}".format(*sys.version_info)
    if any(one.name == "python_version" and python in one.values for one in questions):
        usable["python_version"] = python
    return {"project_name": name or folder, **usable}


def _free(destination: str) -> Path:
    """The absolute path, where nothing lies but perhaps an empty folder."""
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
def _beside(target: Path) -> Generator[Path]:
    """A folder on the target's own disk; it goes, with the parents made for it, unless renamed."""
    missing = [parent for parent in target.parents if not parent.exists()]
    folder: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=".mlscaffold-", dir=target.parent))
        folder.chmod(0o777 & ~_umask())
        yield folder
    except OSError as error:
        reason = error.strerror or str(error)
        raise DestinationError(f"{target} can't be written: {reason}") from error
    finally:
        if folder is None or folder.exists():
            _remove(folder, missing)


def _remove(folder: Path | None, parents: list[Path]) -> None:
    if folder is not None:
        with suppress(OSError):
            folders.remove(folder)
    for parent in parents:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _files(folder: Path) -> tuple[str, ...]:
    found = (Path(one).relative_to(folder) for one in folders.entries(folder))
    files = (path for path in found if path.parts[0] != ".git" and not (folder / path).is_dir())
    return tuple(sorted(path.as_posix() for path in files))

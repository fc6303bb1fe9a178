"""Copier for one release of a template: the only module that imports it, when it is needed."""

import os
import re
import sys
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from packaging.version import Version

from ..errors import CommandError, MlscaffoldError, TemplateError
from ..repository import git
from . import dialog_libraries
from .releases import Releases, version_of
from .short_cuts import replaced, short_cuts

Operation = Literal["copy", "update"]
"""What a template may ask for in its expressions, as `_copier_operation`."""

_EXPRESSION = re.compile(r"\{\{[^{}]*\}\}")

if TYPE_CHECKING:
    from copier._main import Worker
    from copier._template import Task
    from copier._user_data import Question


def write(
    releases: Releases,
    *,
    ref: str,
    data: Mapping[str, Any],
    into: Path,
    answers_file: str = "",
    operation: Operation = "copy",
    project: str = "",
) -> None:
    """Write the project into the folder `into`: copier's `run_copy`, without network or questions.

    `data` answers questions, as `copier copy --data` does; the others take their defaults. External
    data, such as the answers to other templates, is read from the existing `project`, if any. The
    tasks of a template that may run code are left to `run_commands`.
    """
    _load_copier()
    import copier
    from copier._main import Worker, _operation

    read_there = {"_external_data": _external_data_of(project)} if project else {}
    with _translated(), _reading(releases), _short_cuts(releases, ref):
        token = _operation.set(operation)
        try:
            with replaced(Worker, read_there):
                copier.run_copy(
                    releases.source,
                    into,
                    dict(data),
                    answers_file=answers_file or None,
                    vcs_ref=ref,
                    settings=copier.Settings(),
                    defaults=True,
                    overwrite=True,
                    cleanup_on_error=False,
                    quiet=True,
                    unsafe=releases.may_run_code,
                    skip_tasks=releases.may_run_code,
                )
        finally:
            _operation.reset(token)


def _load_copier() -> None:
    """Import copier, which asks nothing here."""
    if "copier" not in sys.modules:
        with dialog_libraries.replaced_by_stand_ins():
            import copier._main  # noqa: F401


def _external_data_of(project: str) -> Callable[["Worker"], Any]:
    """Return copier's method that finds external data, with the project as the destination."""
    from copier._main import Worker

    found = Worker._external_data

    def external_data(worker: "Worker") -> Any:
        there = replace(worker, dst_path=Path(project))
        there.answers = worker.answers
        return found(there)

    return external_data


@contextmanager
def open_worker(releases: Releases, *, ref: str, project: str = "") -> "Generator[Worker]":
    """Yield copier's worker for a release, with no answers; what it raises is translated.

    `project` is the folder that exists or will: expressions see its name and its external data.
    """
    _load_copier()
    from copier._main import Worker
    from copier._settings import SettingsModel

    with (
        _translated(),
        _reading(releases),
        _short_cuts(releases, ref),
        TemporaryDirectory(prefix="mlscaffold-", ignore_cleanup_errors=True) as folder,
        Worker(
            src_path=releases.source,
            dst_path=Path(project or folder),
            vcs_ref=ref,
            settings=SettingsModel(),
            defaults=True,
            quiet=True,
            unsafe=releases.may_run_code,
        ) as worker,
    ):
        yield worker


def require_safe(worker: "Worker") -> None:
    """Raise copier's error if the template would run code and may not: its expressions can too."""
    worker._check_unsafe("copy")


def skips(releases: Releases, *, ref: str) -> bool:
    """Return whether the template may have files that it writes only where they do not exist."""
    with open_worker(releases, ref=ref) as worker:
        return bool(worker.template.skip_if_exists)


def skipped(
    releases: Releases, *, ref: str, data: Mapping[str, Any], paths: Sequence[str], project: str
) -> list[str]:
    """Return those of the paths that the template writes only where they do not exist."""
    with open_worker(releases, ref=ref, project=project) as worker:
        if not worker.template.skip_if_exists:
            return []
        worker.data.update(data)
        worker._ask()
        return [path for path in paths if worker.match_skip(Path(path))]


@dataclass(frozen=True)
class Source:
    """A file of a template, and a file that it makes."""

    path: str
    """From the top of the template's repository."""
    makes: str
    names: Mapping[str, str]
    """The expressions in its path, by what they stand for."""
    render: Callable[[str], str] | None
    """Renders a text in its place; `None` where the file is copied."""


def sources(worker: "Worker") -> Generator[Source]:
    """Yield the files of the template that make a file with the worker's answers."""
    from copier._main import _operation

    root, top = worker.template_copy_root, worker.template.local_abspath
    token = _operation.set("copy")
    try:
        is_excluded = worker.match_exclude
    finally:
        _operation.reset(token)
    for found in sorted(root.rglob("*")):
        if found.is_dir() and not found.is_symlink():
            continue
        path = found.relative_to(root)
        is_template = found.name.endswith(worker.template.templates_suffix)
        for made, context in worker._render_path(path):
            pairs = zip(made.parts, path.parts, strict=False)
            names = {value: part for value, part in pairs if _EXPRESSION.fullmatch(part)}
            if not is_excluded(made):
                render = partial(worker._render_string, extra_context=context)
                yield Source(
                    path=found.relative_to(top).as_posix(),
                    makes=made.as_posix(),
                    names=names,
                    render=render if is_template else None,
                )


def question(worker: "Worker", name: str) -> "Question":
    """Return one of copier's questions as the worker's present answers make it."""
    from copier._user_data import Question

    return Question(
        answers=worker.answers,
        context=worker._render_context(),
        jinja_env=worker.jinja_env,
        settings=worker.settings,
        var_name=name,
        **worker.template.questions_data[name],
    )


def has_migrations(releases: Releases, *, ref: str, since: str) -> bool:
    """Return whether copier would run commands of the template to update from `since` to `ref`."""
    with open_worker(releases, ref=ref) as worker:
        return any(_migrations(worker, releases, ref, since))


def run_commands(
    releases: Releases,
    *,
    ref: str,
    data: Mapping[str, Any],
    project: Path,
    since: str = "",
) -> None:
    """Run the template's tasks in the project, and its migrations if it is an update.

    As copier does, but those migrations that come before an update come after it too. What the
    commands print goes to stderr. Raises CommandError when one fails.
    """
    _load_copier()
    from copier._main import Worker, _operation
    from copier._settings import SettingsModel
    from copier._types import Phase

    worker = Worker(
        src_path=releases.source,
        dst_path=project.resolve(),
        data=dict(data),
        vcs_ref=ref,
        settings=SettingsModel(),
        defaults=True,
        unsafe=True,
    )
    token = _operation.set("update" if since else "copy")
    try:
        with _failing_as_command(), _short_cuts(releases, ref), worker, _stdout_to_stderr():
            with _reading(releases):
                worker._ask()
                before, after = _migrations(worker, releases, ref, since) if since else ((), ())
            # Outside of that, so that they have the user's own environment.
            phases = (Phase.MIGRATE, before), (Phase.TASKS, worker.template.tasks)
            for phase, commands in (*phases, (Phase.MIGRATE, after)):
                with Phase.use(phase):
                    worker._execute_tasks(commands)
    finally:
        _operation.reset(token)


def _migrations(
    worker: "Worker", releases: Releases, ref: str, since: str
) -> tuple[Sequence["Task"], Sequence["Task"]]:
    """Return the commands of the template for before and after an update."""
    from copier._template import Template

    old = Template(url=releases.source, ref=since)
    for template, release in ((worker.template, ref), (old, since)):
        name = releases.describe(releases.commit(release))
        # Copier would look for the version in a clone.
        vars(template).update(commit=name, version=_version(name))
    return (
        worker.template.migration_tasks("before", old),
        worker.template.migration_tasks("after", old),
    )


@contextmanager
def _failing_as_command() -> Generator[None]:
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except Exception as error:
        raise CommandError(f"a command of the template failed: {_reason(error)}") from error


@contextmanager
def _stdout_to_stderr() -> Generator[None]:
    """Send to stderr what this process and those that it starts print."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _version(name: str) -> Version:
    """Return the version that copier gives to a commit with this name by `git describe`."""
    base = version_of(name)
    if base is None:
        return Version("0.0.0.post1")
    distance = re.search(r"-(\d+)-g[0-9a-f]+$", name)
    is_plain = distance and base.dev is None and base.post is None
    return Version(f"{base}.post{distance[1]}") if distance and is_plain else base


def is_missing(value: object) -> bool:
    """Return whether copier stands this in for the default of a question that has none."""
    from copier._types import MISSING

    return value is MISSING


@contextmanager
def _reading(releases: Releases) -> Generator[None]:
    """Make copier's git read the local releases in place of the URL while the block runs."""
    from plumbum import local

    env = git.redirected_environment(releases.url, releases.repository)
    with (
        TemporaryDirectory(prefix="mlscaffold-", ignore_cleanup_errors=True) as cache,
        _environment_variable("COPIER_CACHE_DIR", cache),
        local.env(),
    ):
        for name in local.env.getdict().keys() - env.keys():
            del local.env[name]
        local.env.update(env)
        yield


@contextmanager
def _environment_variable(name: str, value: str) -> Generator[None]:
    # Emptied, never deleted: another thread may be copying the environment.
    before = os.environ.get(name, "")
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ[name] = before


def _short_cuts(releases: Releases, ref: str) -> AbstractContextManager[None]:
    import copier
    import jinja2

    return short_cuts(getattr(copier, "_main", None), jinja2.Environment, releases, ref)


@contextmanager
def _translated() -> Generator[None]:
    """Turn whatever copier raises into TemplateError, except errors of the disk.

    An expression of a template can raise anything, and copier does not catch it.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except MlscaffoldError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise TemplateError(f"the template can't be rendered: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the most useful line: the last of a command's, the first of a message."""
    if type(error).__name__ == "UnsafeTemplateError":
        return str(error).partition(".\n")[0] + "; --trust allows that"
    stderr = str(getattr(error, "stderr", "") or "").strip()
    lines = stderr.splitlines()[-1:] or str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__

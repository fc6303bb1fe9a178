"""Render a template into a folder: the only module that imports copier, and only when needed."""

import os
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import TemplateError, shown
from ..repository import git
from . import folders
from .questions import Answers
from .releases import Releases


def render(releases: Releases, *, ref: str, answers: Answers, into: Path) -> None:
    """Write the project into the folder `into` with copier, without network or questions.

    Raises TemplateError with copier's own reason when the template refuses, and when it makes
    anything that git takes for its own: git would run what a `.git` from a template says.
    """
    if releases.trusted:
        render_in_process(releases, ref=ref, answers=answers, into=into)
    else:
        into = into.absolute()
        releases.in_sandbox("render", writes=into, ref=ref, answers=dict(answers), into=into)
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


def render_in_process(releases: Releases, *, ref: str, answers: Answers, into: Path) -> None:
    """Render in this process, without bounds on the template's time and memory."""
    import copier

    with _translated(), _reading(releases), _short_cuts(releases, ref):
        copier.run_copy(
            releases.source,
            into,
            dict(answers),
            vcs_ref=ref,
            settings=copier.Settings(),
            defaults=True,
            overwrite=True,
            cleanup_on_error=False,
            quiet=True,
        )


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


@contextmanager
def _short_cuts(releases: Releases, ref: str) -> Generator[None]:
    """Make copier skip its clone, a git command per file and most of Jinja's, while the block runs.

    These take more than half of its time: it clones the release, looks up `core.fileMode` for each
    file that it writes, and compiles some expressions hundreds of times. If copier's internals have
    other names, or the template has submodules, less is skipped; the result is the same.
    """
    import copier
    import jinja2

    internals = getattr(copier, "_main", None)
    with TemporaryDirectory(prefix="mlscaffold-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch).resolve() / "release"
        commit = releases.commit(ref)
        releases.check_out(commit, folder)
        checked_out = {
            "local_abspath": folder,
            "commit": releases.describe(commit),
            "commit_hash": commit,
            "git_index_modes": {},
        }
        no_lookup = {"_sync_git_index_executable_bit": lambda *_: None}
        has_submodules = (folder / ".gitmodules").exists()
        template = None if has_submodules else getattr(internals, "Template", None)
        with (
            _replaced(template, checked_out),
            _replaced(getattr(internals, "Worker", None), no_lookup),
            _replaced(jinja2.Environment, {"compile": _once(jinja2.Environment.compile)}),
        ):
            yield


def _once(compile: Callable[..., Any]) -> Callable[..., Any]:
    """Return Jinja's `compile` that compiles a text once for each environment."""
    compiled: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()

    def compiled_once(environment: Any, source: Any, *details: Any, **options: Any) -> Any:
        known, key = compiled.setdefault(environment, {}), (source, details, *options.items())
        if not isinstance(source, str):  # a syntax tree
            return compile(environment, source, *details, **options)
        if key not in known:
            known[key] = compile(environment, source, *details, **options)
        else:
            environment.preprocess(source)  # copier's extension resets itself here
        return known[key]

    return compiled_once


@contextmanager
def _replaced(owner: type | None, attributes: Mapping[str, Any]) -> Generator[None]:
    """Replace attributes of a class while the block runs, if it has every one of them."""
    before = {name: vars(owner)[name] for name in attributes if owner and name in vars(owner)}
    if before.keys() != attributes.keys():
        yield
        return
    try:
        for name in attributes:
            setattr(owner, name, attributes[name])
        yield
    finally:
        for name in before:
            setattr(owner, name, before[name])


@contextmanager
def _translated() -> Generator[None]:
    """Turn whatever copier raises into TemplateError, except errors of the disk.

    An expression of a template can raise anything, and copier does not catch it.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise TemplateError(f"the template can't be rendered: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the most useful line: the last of a command's, the first of a message."""
    stderr = str(getattr(error, "stderr", "")).strip()
    lines = stderr.splitlines()[-1:] or str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__

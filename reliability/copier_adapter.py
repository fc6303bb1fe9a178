"""A plugin for pytest: copier's tests of updates, with this project's update in copier's place.

Only what can be said in more than one way is adapted: the labels of conflict markers and the base
between them, staged changes, and the classes of errors. `COPIER_TESTS_REPORT` names a file that
gets a line for each test that updates something: `passed` or `failed`, and its id; or `stopped`, if
it fails before. The processes that a test starts are adapted where `sitecustomize` imports this.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import copier._main as copier_main
import pytest
from copier._types import VcsRef
from copier.errors import ForbiddenPathError, UnsafeTemplateError, UserMessageError

from mlscaffold.errors import MlscaffoldError
from mlscaffold.update import UpdateRequest, update

_MARKED = re.compile(
    r"^<<<<<<< yours\n(.*?)^\|{7} [^\n]*\n.*?^=======\n(.*?)^>>>>>>> [^\n]*\n",
    re.DOTALL | re.MULTILINE,
)
_UNSAFE = re.compile(r"unsafe features?: (.*);|runs commands \((migrations)\)")
_FORBIDDEN = re.compile(r'"(.*)" is forbidden$')
_HAS_UPDATED = Path(
    "{COPIER_TESTS_REPORT}.{PYTEST_XDIST_WORKER}".format_map(
        {"PYTEST_XDIST_WORKER": "", **os.environ}
    )
)
"""Exists if the running test has updated something, in this process or in one that it started."""


@copier_main.as_operation("update")
def run_update(worker: copier_main.Worker) -> None:
    """What `Worker.run_update` does, by mlscaffold."""
    _HAS_UPDATED.touch()
    is_same = worker.vcs_ref is VcsRef.CURRENT
    request = UpdateRequest(
        given={name: _text(value) for name, value in worker.data.items()},
        to=None if isinstance(worker.vcs_ref, VcsRef) else worker.vcs_ref,
        same_release=is_same,
        prereleases=worker.use_prereleases,
        answers_file=str(worker.answers_file or ""),
        trust=worker.unsafe,
        dry_run=worker.pretend,
    )
    if not worker.overwrite:
        raise UserMessageError("Enable overwrite to update a subproject.")
    project = worker.dst_path.absolute()
    try:
        update(project, request)
    except MlscaffoldError as error:
        if unsafe := _UNSAFE.search(str(error)):
            raise UnsafeTemplateError((unsafe[1] or unsafe[2]).split(", ")) from error
        if forbidden := _FORBIDDEN.search(str(error)):
            raise ForbiddenPathError(path=Path(forbidden[1])) from error
        raise UserMessageError(str(error)) from error
    if not worker.pretend:
        _end(project)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _end(project: Path) -> None:
    """Leave the project as copier does: unstaged, with its own markers, and with no journal."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True).stdout

    unmerged = git("diff", "--name-only", "--relative", "--diff-filter=U", "-z").split("\0")
    for name in filter(None, unmerged):
        if (project / name).is_file():
            text = (project / name).read_text()
            copiers = r"<<<<<<< before updating\n\1=======\n\2>>>>>>> after updating\n"
            (project / name).write_text(_MARKED.sub(copiers, text))
    raw = ("--cached", "--raw", "--no-abbrev", "--relative", "--no-renames", "--diff-filter=AMDT")
    fields = git("diff", *raw, "-z").split("\0")
    staged = dict(zip(fields[1::2], fields[::2], strict=False))
    if any(unmerged):
        git("--literal-pathspecs", "reset", "--quiet", "--", *staged)
    else:
        git("reset", "--quiet")
    if git("config", "--type=bool", "core.fileMode").strip() == "false":
        # Git would not see the mode in the file.
        for path, change in staged.items():
            old_mode, mode, id, _, kind = change.removeprefix(":").split()
            if kind == "M" and mode != old_mode:
                git("update-index", "--cacheinfo", f"{mode},{id},{path}")
    shutil.rmtree(project / git("rev-parse", "--git-path", "mlscaffold-update").strip(), True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: object) -> Generator[None, Any, None]:
    """Write down the outcome of a test that has updated something, or failed before."""
    report = (yield).get_result()
    has_updated = _HAS_UPDATED.exists()
    if report.when == "call" and (has_updated or report.failed):
        outcome = report.outcome if has_updated else "stopped"
        with Path(os.environ["COPIER_TESTS_REPORT"]).open("a") as file:
            file.write(f"{outcome} {item.nodeid!a}\n")
        _HAS_UPDATED.unlink(missing_ok=True)


copier_main.Worker.run_update = run_update  # ty: ignore[invalid-assignment]

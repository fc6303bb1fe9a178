"""Check a project's own environment: whether it may be run, and what it reports."""

import json
import os
import shlex
import stat
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from .errors import ProjectError
from .rendering.components import Environment
from .repository.worktree import open_worktree

_PROBE_TIMEOUT_S = 60.0

# Imports from an environment, but nothing from the project's folder or, through the environment's
# .pth files, from its `src`, where a sitecustomize.py would run.
_PYTHON = ("-I", "-P", "-S", "-c")
_ENVIRONMENT = """
import sys, sysconfig
sys.path.append(sysconfig.get_path("purelib", "venv", {"base": sys.argv.pop(1)}))
"""
_DVC = f"""{_ENVIRONMENT}
from dvc.cli import main
sys.exit(main())
"""
# Prints the Python's version, its torch, and the device that torch would use.
_PROBE = f"""{_ENVIRONMENT}
import json, platform, warnings
found = {{"python": platform.python_version()}}
try:
    import torch
    found["torch"] = torch.__version__
    # Of a driver that does not work torch warns, or it raises.
    warnings.simplefilter("error", UserWarning)
    found["device"] = (
        torch.cuda.get_device_name() if torch.cuda.is_available()
        else "mps" if torch.backends.mps.is_available() else "cpu"
    )
except Exception as error:
    found["error"] = " ".join(f"{{type(error).__name__}}: {{error}}".split())
print(json.dumps(found))
"""


class State(StrEnum):
    """The result of a check."""

    WORKS = "works"
    ABSENT = "absent"
    """Missing, and not always needed."""
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """Not checked, for the given reason."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was checked."""

    subject: str
    state: State
    detail: str
    fix: str = ""
    """The command that fixes it."""


def look_at_environment(project: Path, expected: Environment) -> list[Finding]:
    """Return what the project's own Python reports on itself, torch and DVC's remote.

    Nothing is run if the environment may not be the user's own.
    """
    project = project.resolve()
    named = os.environ.get("UV_PROJECT_ENVIRONMENT")
    folder = Path(os.path.normpath(project / (named or ".venv")))
    python = folder / "bin" / "python"
    if not python.exists():
        return [broken("environment", f"no {python}", fix=expected.setup)]
    if doubt := _doubt(project, folder):
        reason, fix = doubt
        fix = f"{'unset UV_PROJECT_ENVIRONMENT' if named else fix} && {expected.setup}"
        return [broken("environment", f"{folder} is not run: {reason}", fix=fix)]
    probed = _json(output([str(python), *_PYTHON, _PROBE, str(folder)]))
    needed = {"python", "torch"} if "torch" in expected.packages else {"python"}
    if not needed <= probed.keys():
        problem = probed.get("error", f"{python} does not run")
        return [broken("environment", problem, fix=expected.setup)]
    findings = [works("environment", f"Python {probed['python']}")]
    findings += [_torch(probed)] if "torch" in expected.packages else []
    findings += [_remote(project, folder, expected.setup)] if "dvc" in expected.packages else []
    return findings


def _doubt(project: Path, folder: Path) -> tuple[str, str] | None:
    """Return why an environment may not be the user's and how to remove it, or `None`.

    What is in a repository came with it, unless git ignores it. UV_PROJECT_ENVIRONMENT may name an
    environment elsewhere.
    """
    try:
        worktree = open_worktree(project)
    except ProjectError as error:
        return str(error.__cause__ or error), "rm -r .venv && git init && git add . && git commit"
    real = folder.resolve()
    for path in (folder, real):
        name = os.path.relpath(path, worktree.folder)
        if path.is_relative_to(worktree.top) and worktree.tracks(name):
            return f"git tracks {path}", "git rm -rf .venv"
        if path.is_relative_to(worktree.top) and not worktree.ignored([name]):
            return f"git does not ignore {path}", "rm -r .venv && echo /.venv >> .gitignore"
    for path in (real, (folder / "bin" / "python").resolve()):
        status = path.stat()
        if status.st_uid not in (0, os.getuid()) or status.st_mode & stat.S_IWOTH:
            return f"others than you may write to {path}", "rm -r .venv"
    return None


def _torch(probed: dict[str, Any]) -> Finding:
    if "device" in probed:
        return works("torch", f"{probed['torch']} on {probed['device']}")
    detail = f"{probed['torch']} finds no device: {probed.get('error')}"
    fix = "nvidia-smi, and if that fails: reinstall the NVIDIA driver"
    return broken("torch", detail, fix=fix)


def _remote(project: Path, folder: Path, setup: str) -> Finding:
    """Check whether DVC's default remote answers; only where the user set up the project.

    The project's settings name its address, and may name commands that give the credentials
    (those of S3 do). Creating the environment runs code of the project as well.
    """
    if not folder.is_relative_to(project):
        detail = f"not asked: its settings may run commands, and {folder} was not made here"
        fix = f"unset UV_PROJECT_ENVIRONMENT && {setup}"
        return Finding(subject="DVC remote", state=State.UNKNOWN, detail=detail, fix=fix)
    python = str(folder / "bin" / "python")
    dvc = [python, *_PYTHON, _DVC, str(folder), "--cd", str(project)]
    listed = output([*dvc, "config", "core.remote"])
    if not listed:
        fix = "dvc remote add --default storage s3://BUCKET/PATH"
        return absent("DVC remote", "none, so data stays on this machine", fix=fix)
    if output([*dvc, "list-url", f"remote://{listed}/"]) is None:
        fix = f"dvc push, and if that fails: dvc remote modify {shlex.quote(listed)} url URL"
        return broken("DVC remote", f"{listed} can't be read", fix=fix)
    return works("DVC remote", f"{listed} answers")


def output(command: list[str]) -> str | None:
    """Return what the command printed, or `None` if it failed or took too long.

    It runs in the root folder, which has nothing that it could read or import by mistake.
    """
    env = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"} | {"DVC_NO_ANALYTICS": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=Path(os.sep),
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads((text or "").splitlines()[-1])
    except (IndexError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def works(subject: str, detail: str) -> Finding:
    return Finding(subject=subject, state=State.WORKS, detail=detail)


def absent(subject: str, detail: str, *, fix: str) -> Finding:
    return Finding(subject=subject, state=State.ABSENT, detail=detail, fix=fix)


def broken(subject: str, detail: str, *, fix: str) -> Finding:
    return Finding(subject=subject, state=State.BROKEN, detail=detail, fix=fix)

"""Tells what works on this machine and in a project, and the command that fixes what does not."""

import json
import os
import platform
import re
import shlex
import stat
import subprocess
import urllib.request
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPException
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any

from packaging.version import Version

from .errors import GitError, ProjectError
from .lock import find_uv
from .project import is_project, open_project
from .repository import git
from .repository.worktree import open_worktree

OLDEST_GIT = Version("2.31")

_PROBE_TIMEOUT_S = 60.0
_SERVER_TIMEOUT_S = 5.0

# Imports from an environment as its own Python does, but for what it finds in the project: its
# folder, and by way of the environment's .pth files `src`, where a sitecustomize.py would run.
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
    """How a finding stands."""

    WORKS = "works"
    ABSENT = "absent"
    """Not there, and not needed for everything."""
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """Not looked at, for the reason that is given."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    detail: str
    mend: str = ""
    """The command that fixes it."""


def doctor(path: Path | None = None) -> list[Finding]:
    """What was found of git, uv and Python; of a project also what its own environment says.

    Without `path` the present folder is looked at if it is a project. Every look ends in time.
    Of a project whose environment may not be the user's own, nothing is run.
    """
    findings = [_git(), _uv(), _python()]
    if path is None and not is_project(Path()):
        return findings
    project = open_project(path or Path())
    findings += _environment(project.path)
    tracking = project.answers.get("tracking")
    if tracking == "none":
        return findings
    return [*findings, _wandb() if tracking == "wandb" else _mlflow()]


def _git() -> Finding:
    try:
        version = git.run("version")
    except GitError as error:
        return _broken("git", str(error), mend="apt-get install git, or brew install git")
    number = re.search(r"\d+(\.\d+)+", version)
    if number is None or Version(number[0]) < OLDEST_GIT:
        return _broken("git", f"{version} is older than {OLDEST_GIT}", mend="upgrade git")
    return _works("git", version.removeprefix("git version "))


def _uv() -> Finding:
    uv = find_uv()
    if uv is None:
        return _absent("uv", "not installed", mend="python3 -m pip install uv")
    answer = _output([uv, "--version"])
    return _works("uv", answer) if answer else _broken("uv", f"{uv} fails", mend="pip install uv")


def _python() -> Finding:
    return _works("Python", platform.python_version())


def _environment(project: Path) -> list[Finding]:
    """What the project's own Python says of itself, of torch and of DVC's remote."""
    project = project.resolve()
    named = os.environ.get("UV_PROJECT_ENVIRONMENT")
    folder = Path(os.path.normpath(project / (named or ".venv")))
    python = folder / "bin" / "python"
    if not python.exists():
        return [_broken("environment", f"no {python}", mend="make setup")]
    if doubt := _doubt(project, folder):
        reason, mend = doubt
        mend = f"{'unset UV_PROJECT_ENVIRONMENT' if named else mend} && make setup"
        return [_broken("environment", f"{folder} is not run: {reason}", mend=mend)]
    probed = _json(_output([str(python), *_PYTHON, _PROBE, str(folder)]))
    if not {"python", "torch"} <= probed.keys():
        problem = probed.get("error", f"{python} does not run")
        return [_broken("environment", problem, mend="make setup")]
    return [
        _works("environment", f"Python {probed['python']}"),
        _torch(probed),
        _remote(project, folder),
    ]


def _doubt(project: Path, folder: Path) -> tuple[str, str] | None:
    """Why an environment may be a stranger's, and how to be rid of it; None where it is not.

    What lies in a repository came with it, unless git ignores it. By UV_PROJECT_ENVIRONMENT a user
    may name one that lies elsewhere.
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
        return _works("torch", f"{probed['torch']} on {probed['device']}")
    detail = f"{probed['torch']} finds no device: {probed.get('error')}"
    mend = "nvidia-smi, and if that fails: install the NVIDIA driver anew"
    return _broken("torch", detail, mend=mend)


def _remote(project: Path, folder: Path) -> Finding:
    """Whether DVC's default remote answers; asked only where the project was set up by its user.

    The project's settings name its address, and may name commands that give the credentials
    (those of S3 do), which is as much as a `make setup` runs.
    """
    if not folder.is_relative_to(project):
        detail = f"not asked: its settings may run commands, and {folder} was not made here"
        mend = "unset UV_PROJECT_ENVIRONMENT && make setup"
        return Finding(subject="DVC remote", state=State.UNKNOWN, detail=detail, mend=mend)
    python = str(folder / "bin" / "python")
    dvc = [python, *_PYTHON, _DVC, str(folder), "--cd", str(project)]
    listed = _output([*dvc, "config", "core.remote"])
    if not listed:
        mend = "dvc remote add --default storage s3://BUCKET/PATH"
        return _absent("DVC remote", "none, so data stays on this machine", mend=mend)
    if _output([*dvc, "list-url", f"remote://{listed}/"]) is None:
        mend = f"dvc push, and if that fails: dvc remote modify {shlex.quote(listed)} url URL"
        return _broken("DVC remote", f"{listed} can't be read", mend=mend)
    return _works("DVC remote", f"{listed} answers")


def _wandb() -> Finding:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return _works("tracking", "runs are kept in the folder wandb")
    if os.environ.get("WANDB_API_KEY") or _netrc_knows("api.wandb.ai"):
        return _works("tracking", "there is a key for Weights & Biases")
    mend = "wandb login, or without an account: export WANDB_MODE=offline"
    return _broken("tracking", "no key for Weights & Biases", mend=mend)


def _netrc_knows(host: str) -> bool:
    try:
        return host in netrc(os.environ.get("NETRC")).hosts
    except (OSError, NetrcParseError):
        return False


def _mlflow() -> Finding:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        return _works("tracking", "runs are kept in a database on this machine")
    # Without the user and password that a URI may hold.
    shown = re.sub(r"//[^/?#]*@", "//", uri)
    try:
        with urllib.request.urlopen(f"{shown.rstrip('/')}/health", timeout=_SERVER_TIMEOUT_S):
            return _works("tracking", f"{shown} answers")
    except (OSError, ValueError, HTTPException) as error:
        mend = "unset MLFLOW_TRACKING_URI, or start the server that it names"
        return _broken("tracking", f"{shown} does not answer: {error}", mend=mend)


def _output(command: list[str]) -> str | None:
    """What the command printed, None when it failed or took too long.

    It runs in the root folder, where nothing lies that it could read or import by mistake.
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


def _works(subject: str, detail: str) -> Finding:
    return Finding(subject=subject, state=State.WORKS, detail=detail)


def _absent(subject: str, detail: str, *, mend: str) -> Finding:
    return Finding(subject=subject, state=State.ABSENT, detail=detail, mend=mend)


def _broken(subject: str, detail: str, *, mend: str) -> Finding:
    return Finding(subject=subject, state=State.BROKEN, detail=detail, mend=mend)

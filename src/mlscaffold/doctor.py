"""Tells what works on this machine and in a project, and the command that mends what does not."""

import json
import os
import platform
import re
import subprocess
import urllib.request
from dataclasses import dataclass
from enum import StrEnum
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.version import Version

from . import git
from .errors import GitError
from .lock import find_uv
from .project import is_project, open_project

OLDEST_GIT = Version("2.31")

_PROBE_TIMEOUT_S = 60.0
_SERVER_TIMEOUT_S = 5.0

# Asked of a project's own Python: its version, its torch, and the device that torch would use.
_PROBE = """
import json, platform
found = {"python": platform.python_version()}
try:
    import torch
    found["torch"] = torch.__version__
    found["device"] = (
        torch.cuda.get_device_name() if torch.cuda.is_available()
        else "mps" if torch.backends.mps.is_available() else "cpu"
    )
except Exception as error:
    found["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


class State(StrEnum):
    """How a finding stands."""

    WORKS = "works"
    ABSENT = "absent"
    """Not there, and not needed for everything."""
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    detail: str
    mend: str = ""
    """The command that mends it."""


def doctor(path: Path | None = None) -> list[Finding]:
    """What was found of git, uv and Python; of a project also what its own environment says.

    Without `path` the present folder is looked at if it is a project. Every look ends in time.
    """
    findings = [_git(), _uv(), _python()]
    if path is None and not is_project(Path()):
        return findings
    project = open_project(path or Path())
    by_tracker = {"wandb": _wandb}.get(str(project.answers.get("tracking")), _mlflow)
    return findings + _environment(project.path) + [by_tracker()]


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
    folder = os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")
    python = (project / folder / "bin" / "python").absolute()
    if not python.exists():
        return [_broken("environment", f"no {python}", mend="make setup")]
    probed = _json(_output([str(python), "-c", _PROBE], cwd=project))
    if "torch" not in probed:
        problem = probed.get("error", "its Python does not run")
        return [_broken("environment", problem, mend="make setup")]
    return [
        _works("environment", f"Python {probed['python']}"),
        _works("torch", f"{probed['torch']} on {probed['device']}"),
        _remote(project, python),
    ]


def _remote(project: Path, python: Path) -> Finding:
    dvc = [str(python), "-m", "dvc"]
    listed = _output([*dvc, "config", "core.remote"], cwd=project)
    if not listed:
        mend = "dvc remote add --default storage s3://BUCKET/PATH"
        return _absent("DVC remote", "none, so data stays on this machine", mend=mend)
    if _output([*dvc, "list-url", f"remote://{listed}/"], cwd=project) is None:
        mend = f"dvc push, and if that fails: dvc remote modify {listed} url URL"
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
    shown = urlsplit(uri)._replace(netloc=urlsplit(uri).netloc.rpartition("@")[2]).geturl()
    try:
        with urllib.request.urlopen(f"{shown.rstrip('/')}/health", timeout=_SERVER_TIMEOUT_S):
            return _works("tracking", f"{shown} answers")
    except (OSError, ValueError) as error:
        mend = "unset MLFLOW_TRACKING_URI, or start the server that it names"
        return _broken("tracking", f"{shown} does not answer: {error}", mend=mend)


def _output(command: list[str], *, cwd: Path | None = None) -> str | None:
    """What the command printed, None when it failed or took too long."""
    env = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"} | {"DVC_NO_ANALYTICS": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _json(text: str | None) -> dict[str, Any]:
    try:
        return json.loads((text or "").splitlines()[-1])
    except (IndexError, ValueError):
        return {}


def _works(subject: str, detail: str) -> Finding:
    return Finding(subject=subject, state=State.WORKS, detail=detail)


def _absent(subject: str, detail: str, *, mend: str) -> Finding:
    return Finding(subject=subject, state=State.ABSENT, detail=detail, mend=mend)


def _broken(subject: str, detail: str, *, mend: str) -> Finding:
    return Finding(subject=subject, state=State.BROKEN, detail=detail, mend=mend)

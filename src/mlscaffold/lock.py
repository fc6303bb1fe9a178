"""Write a project's uv.lock: the only module that runs uv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 180.0


def find_uv() -> str | None:
    """Return the uv program on PATH, else the one beside this Python, else `None`."""
    return shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)


def write_lock(project: Path, *, timeout_s: float = TIMEOUT_S) -> str:
    """Write uv.lock into the project; return why it could not, or an empty string."""
    uv = find_uv()
    if uv is None:
        return "uv is not installed"
    try:
        subprocess.run(
            [uv, "lock", "--quiet", "--no-progress"],
            cwd=project,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return f"uv lock did not end within {timeout_s:g} s"
    except subprocess.CalledProcessError as error:
        return _reason(error.stderr.decode(errors="replace"))
    return ""


def _environment() -> dict[str, str]:
    """Return our environment variables without the active virtual environment."""
    return {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}


def _reason(stderr: str) -> str:
    """Return the first line of uv's message, without its bullet."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"uv lock failed: {said[0].lstrip('× ') if said else 'no message'}"  # noqa: RUF001

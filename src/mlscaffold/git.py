"""Runs git: the only module that does."""

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from .errors import GitError

# Set by git for its hooks and aliases; inherited, they would point us at somebody's repository.
_OF_ANOTHER_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_TEMPLATE_DIR",
    "GIT_WORK_TREE",
)
# Configuration that rides in the environment.
_OF_THE_CALLER = ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS")


def environment(*, isolated: bool) -> dict[str, str]:
    """The environment for a git command; isolated: no configuration of the user or the system."""
    dropped = _OF_ANOTHER_REPOSITORY + (_OF_THE_CALLER if isolated else ())
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    env["GIT_TERMINAL_PROMPT"] = "0"
    if isolated:
        env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return env


def instead_of(url: str, repository: Path) -> dict[str, str]:
    """The isolated environment in which git reads `repository` wherever `url` is asked for."""
    return environment(isolated=True) | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_posix()}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
    }


def run(
    *arguments: str | Path,
    cwd: Path | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    isolated: bool = True,
    timeout_s: float = 120,
) -> str:
    """What `git ARGUMENTS` printed, without the last line's end; raises GitError when it fails."""
    printed = output(
        *arguments, cwd=cwd, stdin=stdin, env=env, isolated=isolated, timeout_s=timeout_s
    )
    return printed.decode(errors="replace").removesuffix("\n")


def output(
    *arguments: str | Path,
    cwd: Path | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    isolated: bool = True,
    timeout_s: float = 120,
    may_exit: Collection[int] = (0,),
) -> bytes:
    """The bytes that `git ARGUMENTS` printed; raises GitError unless its exit code is expected."""
    try:
        done = subprocess.run(
            ["git", *map(str, arguments)],
            cwd=cwd,
            input=stdin,
            env={**environment(isolated=isolated), **(env or {})},
            capture_output=True,
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise GitError("git is not installed: install it and run the command again") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} did not end within {timeout_s:g} s") from error
    if done.returncode not in may_exit:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise GitError(f"git {_verb(arguments)} failed: {lines[-1]}")
    return done.stdout


def _verb(arguments: Sequence[str | Path]) -> str:
    """The git command among the arguments, past the settings that stand before it."""
    words = iter(map(str, arguments))
    for word in words:
        if word == "-c":
            next(words)
        elif not word.startswith("-"):
            return word
    return ""


def setting(name: str) -> str:
    """What the user's git configuration holds under `name`, or the empty string."""
    try:
        return run("config", "--get", name, isolated=False)
    except GitError:
        return ""

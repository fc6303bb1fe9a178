"""Run git: the only module that does."""

import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from ..errors import GitError

PROTOCOLS = ("https", "ssh", "git", "file")
"""The protocols for templates."""

# Variables for the committer, for remotes, and for where a relocated git finds its own programs.
_KEPT = (
    "GIT_ASKPASS",
    "GIT_AUTHOR_",
    "GIT_COMMITTER_",
    "GIT_EXEC_PATH",
    "GIT_HTTP_",
    "GIT_PROXY_",
    "GIT_SSH",
    "GIT_SSL_",
)
# The user's configuration, and where git looks for a repository. Any other variable could select
# another repository, run a program or write a file: git sets some for its hooks and aliases.
_OF_THE_USER = ("GIT_CEILING_DIRECTORIES", "GIT_CONFIG_", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
# These override a repository's own configuration. A submodule is never a folder of this machine.
_ISOLATED = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "protocol.allow": "never",
    **{f"protocol.{name}.allow": "always" for name in PROTOCOLS},
    "protocol.file.allow": "user",
}

_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_DOT_GIT = re.compile(r"(\.git|git~\d)[. ]*(:.*)?", re.DOTALL | re.IGNORECASE)


def environment(*, isolated: bool) -> dict[str, str]:
    """Return the environment for git; isolated: without the user's and system's configuration."""
    kept = _KEPT if isolated else _KEPT + _OF_THE_USER
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(kept)
    }
    env["GIT_TERMINAL_PROMPT"] = "0"
    if "GIT_ALLOW_PROTOCOL" in os.environ:
        env["GIT_ALLOW_PROTOCOL"] = allowed_protocols()
    if isolated:
        env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **_in_env(_ISOLATED)}
    return env


def allowed_protocols() -> str:
    """Return the protocols of templates for GIT_ALLOW_PROTOCOL that the user allows."""
    asked = os.environ.get("GIT_ALLOW_PROTOCOL")
    return ":".join(name for name in PROTOCOLS if asked is None or name in asked.split(":"))


def redirected_environment(url: str, repository: Path) -> dict[str, str]:
    """Return an isolated environment in which git reads `repository` in place of `url`."""
    redirected = {f"url.{repository.as_posix()}.insteadOf": url}
    return environment(isolated=True) | _in_env(_ISOLATED | redirected)


def _in_env(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give git these settings, above those of any file."""
    env = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return env


def is_git_name(path: str) -> bool:
    """Return whether a part of the path is `.git` to git on Linux, macOS or Windows."""
    parts = re.split(r"[/\\]", _HFS_IGNORED.sub("", path))
    return any(_DOT_GIT.fullmatch(part) for part in parts)


def run(
    *arguments: str | Path,
    cwd: Path | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    isolated: bool = True,
    timeout_s: float = 120,
) -> str:
    """Run git and return what it printed, without the last line end; raise GitError if it fails."""
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
    """Run git and return the bytes it printed; raise GitError if the exit code is unexpected."""
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
        lines = [without_secrets(line) for line in lines]
        raise GitError(f"git {_verb(arguments)} failed: {lines[-1]}", lines)
    return done.stdout


def objects(printed: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Yield the id, kind and content of each object that `git cat-file --batch` has printed.

    They are empty for an object that does not exist.
    """
    lines = BytesIO(printed)
    for line in lines:
        if found := re.fullmatch(rb"(\w+) (\w+) (\d+)\n", line):
            yield found[1].decode(), found[2].decode(), lines.read(int(found[3]) + 1)[:-1]
        else:
            yield "", "", b""


def without_secrets(text: str) -> str:
    """Return the text without the credentials of URLs, and without tokens of the environment."""
    text = re.sub(r"(https?://)[^/\s]+@", r"\1", text)
    for name, value in os.environ.items():
        if name.endswith(("TOKEN", "PASSWORD")) and len(value) >= 8:
            text = text.replace(value, "***")
    return text


def _verb(arguments: Sequence[str | Path]) -> str:
    """Return the git command among the arguments, which may follow settings."""
    words = iter(map(str, arguments))
    for word in words:
        if word == "-c":
            next(words)
        elif not word.startswith("-"):
            return word
    return ""


def setting(name: str) -> str:
    """Return a setting of the user's git configuration, or an empty string."""
    try:
        return run("config", "--get", name, isolated=False)
    except GitError:
        return ""

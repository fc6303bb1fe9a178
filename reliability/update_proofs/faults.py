"""Run a command in a process of its own, with a fault before a step that changes the disk.

The steps are not marked in the code, where one could be forgotten: audit events of the interpreter
(`sys.addaudithook`) report them, including the git commands that are started.
"""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlscaffold.update
from mlscaffold import cli

from .projects import Lab

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# By event, the positions of a path, and of the folder that it is relative to, in the arguments.
_EVENTS = {
    "open": (0, None),
    "os.chmod": (0, 2),
    "os.fsync": (0, None),
    "os.link": (1, 3),
    "os.mkdir": (0, 2),
    "os.remove": (0, 1),
    "os.rename": (1, 3),
    "os.rmdir": (0, 1),
    "os.symlink": (1, 2),
    "os.utime": (0, 3),
}
_GIT_WRITES = {
    *("checkout-index", "commit-tree", "read-tree", "unpack-objects", "update-index"),
    *("update-ref", "write-tree"),
}


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or a signal's number below zero; and what it printed."""

    code: int
    printed: str
    steps: int


Fault = Callable[[int], None]


@dataclass(frozen=True)
class Begun:
    """A command that is about to change the project's disk."""

    process: int
    ends: int
    """A descriptor that can be read when the command has ended."""
    _lab: Lab

    def wait(self) -> Ended:
        """Wait for the end of the command; return how it ended."""
        os.close(self.ends)
        return _ended(self._lab, self.process)


def kill_at(number: int) -> Fault:
    """Kill the command before that step, counted from 0."""
    return lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == number else None


def run(lab: Lab, project: Path, command: tuple[str, ...], fault: Fault | None = None) -> Ended:
    """Run a command of ours in a process of its own, with `fault` called before each step."""
    return _ended(lab, _forked(lab, project, command, fault, -1))


def begin(lab: Lab, project: Path, command: tuple[str, ...]) -> Begun:
    """Start a command of ours, and return when it reaches its first step."""
    reader, writer = os.pipe()
    process = _forked(lab, project, command, None, writer)
    os.close(writer)
    os.read(reader, 1)
    return Begun(process, reader, lab)


def _forked(
    lab: Lab, project: Path, command: tuple[str, ...], fault: Fault | None, pipe: int
) -> int:
    (lab.folder / "steps").write_text("0")
    child = os.fork()
    if child == 0:
        _run_here(lab, project, command, fault, pipe)
    return child


def _ended(lab: Lab, process: int) -> Ended:
    _, status = os.waitpid(process, 0)
    printed, steps = ((lab.folder / name).read_text() for name in ("printed", "steps"))
    return Ended(os.waitstatus_to_exitcode(status), printed, int(steps or 0))


def _run_here(
    lab: Lab, project: Path, command: tuple[str, ...], fault: Fault | None, pipe: int
) -> None:
    """Run the command in this process and exit. The lab has already made its renders."""
    code = 70
    try:
        descriptor = os.open(lab.folder / "printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123
        os.setpgid(0, 0)
        # A killed process can't remove its temporary files.
        tempfile.tempdir = str(lab.folder / "tmp")
        Path(tempfile.tempdir).mkdir(exist_ok=True)
        vars(mlscaffold.update)["open_render_cache"] = lambda **_: contextlib.nullcontext(
            lab.renders
        )
        sys.argv = ["mlscaffold", *command, str(project)]
        steps = _watch(project, fault, pipe)
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            fault = None
            sys.stdout.flush()
            sys.stderr.flush()
            (lab.folder / "steps").write_text(str(steps()))
    finally:
        os._exit(code)


def _watch(project: Path, fault: Fault | None, pipe: int) -> Callable[[], int]:
    """Call `fault` with the number of each step that changes the project's disk."""
    number = 0
    inside = os.fsencode(project) + b"/"

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal number
        if event == "subprocess.Popen":
            _, words, folder, _ = arguments
            if not (_GIT_WRITES & set(words) and os.fsencode(f"{folder}/").startswith(inside)):
                return
        elif not _changes(event, arguments, inside):
            return
        number += 1
        if number == 1 and pipe >= 0:
            os.write(pipe, b".")
        if fault:
            fault(number - 1)

    def fsync(descriptor: int, really: Callable[[int], None] = os.fsync) -> None:
        seen("os.fsync", (_opened(descriptor),))
        really(descriptor)

    vars(os)["fsync"] = fsync
    sys.addaudithook(seen)
    return lambda: number


def _changes(event: str, arguments: tuple[Any, ...], inside: bytes) -> bool:
    """Return whether the step changes a file, a folder or a link below a folder."""
    if event not in _EVENTS or (event == "open" and not arguments[2] & _WRITING):
        return False
    return _path(event, arguments).startswith(inside)


def _path(event: str, arguments: tuple[Any, ...]) -> bytes:
    position, folder = _EVENTS[event]
    path = arguments[position]
    if isinstance(path, int):
        return b""
    path = os.fsencode(path)
    if folder is not None and len(arguments) > folder and arguments[folder] not in (-1, None):
        return os.fsencode(_opened(arguments[folder])) + b"/" + path
    return path


def _opened(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def signal_at(number: int, sent: signal.Signals) -> Fault:
    """Send the command a signal before that step."""
    return lambda step: os.kill(os.getpid(), sent) if step == number else None


def fail_at(number: int, code: int, *, lasting: bool) -> Fault:
    """Fail that step with an errno, and with `lasting` all after it."""

    def fault(step: int) -> None:
        if step == number or (lasting and step > number):
            raise OSError(code, os.strerror(code))

    return fault

"""Read and render templates other than the bundled one in another process, within bounds."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from threading import Lock
from typing import Any

from ..errors import AnswerError, StaleAnswerError, TemplateError
from . import folders

_MAX_REPLY_BYTES = 4 * 2**20
_LOOKS_EVERY_S = 0.5


@dataclass(frozen=True)
class Bound:
    """A limit for one question or one render, set by an environment variable."""

    setting: str
    default: int
    unit: str

    @property
    def value(self) -> int:
        """The bound in effect; raises TemplateError if the variable holds none."""
        text = os.environ.get(self.setting, "") or str(self.default)
        if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
            raise TemplateError(f"{self.setting} must be a whole number > 0, got {text[:60]!r}")
        return int(text)

    def exceeded(self) -> TemplateError:
        """Return the error for a template that exceeds it."""
        return _refusal(
            f"it takes more than {self.value} {self.unit}; {self.setting} sets another bound"
        )


TIME = Bound("MLSCAFFOLD_TEMPLATE_TIMEOUT_S", 60, "s")
MEMORY = Bound("MLSCAFFOLD_TEMPLATE_MEMORY_MIB", 2048, "MiB of memory")
DISK = Bound("MLSCAFFOLD_TEMPLATE_DISK_MIB", 1024, "MiB on the disk")


def call(function: str, *, writes: Collection[Path] = (), **arguments: Any) -> Any:
    """Return what a function of sandbox_worker.py returns; it may write into folders.

    Raises TemplateError when the template fails or takes more than its bounds, AnswerError at an
    invalid answer, OSError when the disk does not take what it writes.
    """
    with folders.temporary() as scratch:
        request = {
            "function": function,
            "arguments": arguments,
            "scratch": scratch,
            "environment": dict(os.environ),
            "time_s": TIME.value,
            "memory_mib": MEMORY.value,
        }
        reply = _process_of(os.getpid()).answer(request, [scratch, *writes])
    if "errno" in reply:
        raise OSError(reply["errno"], reply["strerror"])
    if "refused" in reply:
        name, problem = reply["stale"], reply["refused"]
        raise StaleAnswerError(name, problem) if name else AnswerError(problem)
    if "error" in reply:
        raise TemplateError(reply["error"])
    return reply["value"]


class _Process:
    """The other process: started when it is needed, ended when it does not answer within bounds."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket

    def answer(self, request: dict[str, Any], written: Iterable[Path]) -> dict[str, Any]:
        """Send a request and return the reply; one at a time."""
        with self._lock:
            try:
                self._start()
                self._ask(json.dumps(request, default=str).encode() + b"\n")
                reply = json.loads(self._reply(written))
                if reply.get("is_out_of_memory"):
                    raise MEMORY.exceeded()
                return reply
            except BaseException:
                # Also on an interrupt: the process would continue, and answer the next request.
                self._end()
                raise

    def _start(self) -> None:
        if self._popen is not None:
            return
        self._socket, theirs = socket.socketpair()
        with theirs:
            # In a session of its own: what it starts ends with it, and Ctrl-C reaches only us.
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.sandbox_worker"],
                cwd=gettempdir(),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _ask(self, request: bytes) -> None:
        self._socket.settimeout(None)
        with suppress(ConnectionError):  # It has ended, and there is no reply either.
            self._socket.sendall(request)

    def _reply(self, written: Iterable[Path]) -> bytes:
        deadline = time.monotonic() + TIME.value
        self._socket.settimeout(_LOOKS_EVERY_S)
        reply = b""
        while not reply.endswith(b"\n"):
            try:
                part = self._socket.recv(2**16)
            except TimeoutError:
                if sum(map(_size, written)) > DISK.value * 2**20:
                    raise DISK.exceeded() from None
            except ConnectionError:
                raise _death(self._end()) from None
            else:
                if not part:
                    raise _death(self._end())
                reply += part
            if time.monotonic() > deadline:
                raise TIME.exceeded()
            if len(reply) > _MAX_REPLY_BYTES:
                raise _refusal(f"its questions take more than {_MAX_REPLY_BYTES} bytes")
        return reply

    def _end(self) -> int:
        """Kill the process if it still runs, and return its exit code."""
        popen, self._popen = self._popen, None
        if popen is None:
            return 0
        self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        return popen.wait()


@cache
def _process_of(pid: int) -> _Process:
    """Return the worker process of this process; a fork must not read our replies."""
    return _Process()


def _size(folder: Path) -> int:
    """Return a folder's size on disk in bytes, at least one block for each entry."""
    size = 0
    for entry in folders.entries(folder):
        with suppress(OSError):  # It was moved or removed meanwhile.
            size += max(4096, entry.stat(follow_symlinks=False).st_size)
    return size


def _death(code: int) -> TemplateError:
    """Return the error for a worker process that ended by itself."""
    if code == -signal.SIGXCPU:
        return TIME.exceeded()
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return _refusal(f"the process that renders it ended by {how}")


def _refusal(reason: str) -> TemplateError:
    return TemplateError(f"the template can't be rendered: {reason}")

"""A lock that lets only one stage at a time run in a project's folder."""

import logging
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from .errors import ProjectError

log = logging.getLogger(__name__)

LOCK = Path(".stage.lock")


class RunningError(ProjectError):
    """Another stage is running in this folder."""


@contextmanager
def running(stage: str, lock: Path = LOCK) -> Generator[None]:
    """Run a block, or a decorated function, as the only stage in this folder, or with this lock.

    It is a POSIX lock: NFS supports it, and the system releases it when the process ends or is
    killed. Closing another handle of its file would release it too. Windows, and a disk without
    locks, for which a warning is logged, do not prevent a second stage.

    Raises:
        RunningError: Another stage is running here; the message names its process.
    """
    with lock.open("a+", encoding="utf-8") as file:
        _lock(file, lock)
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        file.truncate(0)
        file.write(f"{stage}, pid {os.getpid()} on {socket.gethostname()}, since {since}")
        file.flush()
        os.fsync(file.fileno())  # for other hosts
        try:
            yield
        finally:
            file.truncate(0)


def _lock(file: TextIO, path: Path) -> None:
    if os.name == "nt":
        return
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holder = path.read_text("utf-8") or "another stage has just begun"
        message = f"this folder is in use: {holder}; wait until it ends, or use a copy of it"
        raise RunningError(message) from error
    except OSError as error:
        log.warning("%s: %s; two stages at once are not noticed", path, error.strerror)

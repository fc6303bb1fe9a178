"""What a run records, on this disk before any server hears of it.

    .tracking/<run id>/journal.jsonl   a record a line, in the order in which they were made
    .tracking/<run id>/delivered       how far delivery has come; see outbox.py

A record is there once `append` has returned, whatever becomes of the process. (Not of the machine:
nothing waits for the disk.) A line that a crash cut off is dropped.
"""

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakSet

from ..base import TrackingError

log = logging.getLogger(__name__)

JOURNALS = Path(".tracking")
LINES = "journal.jsonl"
RUNNING = "RUNNING"
"""The status of a run that continues; any other ends it."""

Record = dict[str, Any]
"""One of: place and repeats (the first line); metrics, step and time; settings and tags; folder,
name and sha256; status and time. Times are in milliseconds since 1970."""


class JournalInUseError(TrackingError):
    """Another process, or another tracker of this one, has the journal open."""


class Journal:
    """The journal of one run, written in one place at a time."""

    def __init__(
        self, folder: Path, *, place: str, repeats: bool = False, wait_s: float = 0
    ) -> None:
        """Open the journal in `folder`; begin it where there is none, for a run at `place`.

        `repeats` says that the run may log some points that the server has from before.

        Raises:
            JournalInUseError: It was in use for `wait_s` seconds.
        """
        self.folder = folder
        self._path = folder / LINES
        self._file = locked(self._path, wait_s)
        self._writing = Lock()
        self._size = self._path.stat().st_size
        self._is_full = False
        if not self._size:
            self.append({"place": place, "repeats": repeats})
        self._recorded = {
            (name, record["step"])
            for _, record in records(self._path)
            for name in record.get("metrics", ())
        }

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Append the points that were not here before: a run that resumes repeats some."""
        new = {k: float(v) for k, v in metrics.items() if (k, step) not in self._recorded}
        if new:
            self.append({"step": step, "time": now_ms(), "metrics": new})

    def append(self, record: Record) -> None:
        """Write a record behind the others. A full disk is warned of once; nothing is raised."""
        line = memoryview(json.dumps(record).encode() + b"\n")
        with self._writing:
            try:
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:])
            except OSError as error:
                self._file.truncate(self._size)
                if not self._is_full:
                    message = "%s: %s; training continues and is not recorded"
                    log.warning(message, self._path, error.strerror)
                self._is_full = True
            else:
                self._size += written
                self._is_full = False

    def close(self, *, remove: bool = False) -> None:
        """Let others open it, or leave none."""
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._file.close()


def journals(folder: Path = JOURNALS) -> list[Path]:
    """Return the folders of the journals that lie here."""
    return sorted(path.parent for path in folder.glob(f"*/{LINES}"))


def records(path: Path, start: int = 0) -> Iterator[tuple[int, Record]]:
    """Yield the whole records from the offset `start` on, each with the offset behind it."""
    with path.open("rb") as lines:
        end = lines.seek(start)
        for line in lines:
            if line.endswith(b"\n"):
                end += len(line)
                yield end, _parsed(line, path)


def _parsed(line: bytes, path: Path) -> Record:
    with suppress(TypeError, ValueError):
        return dict(json.loads(line))
    log.warning("%s holds a damaged line, which is left out", path)
    return {}


def now_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def locked(path: Path, wait_s: float = 0) -> FileIO:
    """Return the file, open to append whole lines, under a lock that ends with the process.

    Raises:
        JournalInUseError: It was in use for `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it before may have removed it.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(path.read_bytes().rfind(b"\n") + 1)
                _open_files.add(file)
                return file
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                file.close()
                raise JournalInUseError(f"{path} is in use by another process") from error
            time.sleep(0.1)
        file.close()


_open_files: WeakSet[FileIO] = WeakSet()


def _close_in_child() -> None:
    """Leave the locks to this process alone: a worker may outlive the one that forked it."""
    for file in list(_open_files):
        file.close()


os.register_at_fork(after_in_child=_close_in_child)

"""What a run records, on this disk before any server hears of it.

    .tracking/<run id>/journal.jsonl   a record a line, in the order in which they were made
    .tracking/<run id>/delivered       how many of its bytes the server has

A record is there once `append` has returned, whatever becomes of the process. (Not of the machine:
nothing waits for the disk.) A line that a crash cut off is dropped.
"""

import fcntl
import json
import logging
import os
import shutil
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakSet

from .base import TrackingError

log = logging.getLogger(__name__)

JOURNALS = Path(".tracking")
LINES, DELIVERED = "journal.jsonl", "delivered"
MAX_POINTS = 10_000
"""Points of a batch, unless one call brought more."""
RUNNING = "RUNNING"
"""The status of a run that goes on; another one ends it."""

Record = dict[str, Any]
"""One of: run and place (the first line); metrics, step and time; settings and tags; folder, name
and sha256; status and time. Times are in milliseconds since 1970."""


class JournalInUseError(TrackingError):
    """Another process, or another tracker of this one, has the journal open."""


@dataclass(frozen=True)
class Batch:
    """Records to deliver together: metrics, or one of another kind."""

    records: list[Record]
    end: int
    """The offset in bytes behind the last of them."""


class Journal:
    """The journal of one run, open in one place at a time."""

    def __init__(self, folder: Path, *, place: str = "", wait_s: float = 0) -> None:
        """Open the journal in `folder`; begin it where there is none, for a run at `place`.

        Raises:
            JournalInUseError: It was in use for `wait_s` seconds.
        """
        self.folder = folder
        self._path = folder / LINES
        self._file = _locked(self._path, wait_s)
        _open_files.add(self._file)
        self._writing = Lock()
        self._size = self._without_torn_line()
        self.delivered = min(_offset(folder / DELIVERED), self._size)
        self._steps: dict[str, array[int]] = {}
        self._last: Record = {}
        self._is_full = False
        if not self._size:
            self.append({"run": folder.name, "place": place})
        for record in self._records(0):
            self._last = record
            for name in record.get("metrics", ()):
                self._adds(name, record["step"])

    @property
    def run_id(self) -> str:
        """The run whose journal this is."""
        return self.folder.name

    @property
    def place(self) -> str:
        """Where the run is recorded."""
        return str(next(self._records(0), {}).get("place"))

    @property
    def is_delivered(self) -> bool:
        """Whether the server has all of it."""
        return self.delivered >= self._size

    @property
    def is_closed(self) -> bool:
        """Whether it may be open elsewhere by now."""
        return self._file.closed

    @property
    def is_ended(self) -> bool:
        """Whether the run has ended; one that was killed has not, and may go on."""
        return self._last.get("status", RUNNING) != RUNNING

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Append the points that are new: a run that goes on after a crash repeats some."""
        new = {name: float(value) for name, value in metrics.items() if self._adds(name, step)}
        if new:
            self.append({"step": step, "time": now_ms(), "metrics": new})

    def append(self, record: Record) -> None:
        """Write a record behind the others. A disk that is full is warned of; nothing is raised."""
        line = json.dumps(record).encode() + b"\n"
        with self._writing:
            try:
                _write(self._file, line)
            except OSError as error:
                self._file.truncate(self._size)
                self._warn_once(error)
                return
            self._size += len(line)
            self._is_full = False
            self._last = record

    def batch(self) -> Batch | None:
        """Return the next records to deliver; null where the server has all, or it was closed."""
        if self.is_closed:
            return None
        records, points, end = [], 0, self.delivered
        for line in self._lines(end):
            record = _parsed(line, self._path)
            count = len(record.get("metrics", ()))
            if records and (not count or points + count > MAX_POINTS):
                break
            records.append(record)
            points, end = points + count, end + len(line)
            if not count:
                break
        return Batch(records, end) if records else None

    def acknowledge(self, batch: Batch) -> None:
        """Note that the server has `batch`, and all before it."""
        if self.is_closed:  # whoever opens it next sends the batch again
            return
        new = self.folder / f"{DELIVERED}.new"
        new.write_text(str(batch.end), "utf-8")
        new.replace(self.folder / DELIVERED)
        self.delivered = batch.end

    def waiting(self) -> str:
        """Return in words what the server has not got, such as `3 points, model and its end`."""
        records = list(self._records(self.delivered))
        points = sum(len(record.get("metrics", ())) for record in records)
        parts = [f"{points} point{'s' * (points != 1)}"] if points else []
        parts += ["its settings"] if any("settings" in record for record in records) else []
        parts += [record["name"] for record in records if "folder" in record]
        parts += ["its end"] if any("status" in record for record in records) else []
        return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:]))) or "nothing"

    def close(self, *, remove: bool = False) -> None:
        """Let others open it, or leave none."""
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._file.close()

    def _adds(self, name: str, step: int) -> bool:
        """Add `step` to those of a metric; return whether it was not among them."""
        steps = self._steps.setdefault(name, array("q"))
        if not steps or step > steps[-1]:
            steps.append(step)
            return True
        place = bisect_left(steps, step)
        if steps[place] == step:
            return False
        steps.insert(place, step)
        return True

    def _records(self, start: int) -> Iterator[Record]:
        return (_parsed(line, self._path) for line in self._lines(start))

    def _lines(self, start: int) -> Iterator[bytes]:
        with self._path.open("rb") as lines:
            lines.seek(start)
            yield from (line for line in lines if line.endswith(b"\n"))

    def _without_torn_line(self) -> int:
        whole = self._path.read_bytes().rpartition(b"\n")
        size = len(whole[0]) + len(whole[1])
        self._file.truncate(size)
        return size

    def _warn_once(self, error: OSError) -> None:
        if not self._is_full:
            log.warning("%s: %s; training goes on and is not recorded", self._path, error.strerror)
        self._is_full = True


def journals(folder: Path = JOURNALS) -> list[Path]:
    """Return the folders of the journals that lie here."""
    return sorted(path.parent for path in folder.glob(f"*/{LINES}"))


def waiting_of(folder: Path) -> str | None:
    """Return in words what the server has not got of a run; null if it has all.

    Raises:
        JournalInUseError: The run goes on.
    """
    if not (folder / LINES).exists():
        return None
    journal = Journal(folder)
    try:
        return None if journal.is_delivered else journal.waiting()
    finally:
        journal.close()


def now_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _locked(path: Path, wait_s: float) -> FileIO:
    """Return the file, open to append, under a lock that ends with the process."""
    deadline = time.monotonic() + wait_s
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
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


def _write(file: FileIO, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += file.write(data[written:])


def _offset(path: Path) -> int:
    text = path.read_text("utf-8") if path.exists() else ""
    return int(text) if text.isdecimal() else 0


def _parsed(line: bytes, path: Path) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if isinstance(record, dict):
        return record
    log.warning("%s holds a damaged line, which is left out", path)
    return {}

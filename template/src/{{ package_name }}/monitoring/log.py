"""The prediction log: JSON lines that a thread appends, in files whose size is bounded."""

import hashlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO, Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter

from ..data.encoder import Encoder
from ..data.rows import Values
from .config import MonitoringConfig

PREDICTIONS, FEEDBACK = "predictions", "feedback"
"""The kinds of records, with which names of files begin."""
SUMMARY = "summary.json"
"""The file beside them with what the metrics of servers say of the newest report."""
WRITE_INTERVAL_S = 0.5
FILES_PER_LOG = 16

log = logging.getLogger(__name__)


class Answered(NamedTuple):
    """An answer to record."""

    record: dict[str, Any]
    row: Values
    encoder: Encoder


class PredictionLog:
    """Appends records in a thread, so that no request waits for the disk.

    What was offered is with the operating system within a second, so that even a killed process
    loses no more. What does not fit into the queue, or on the disk, is dropped and counted.
    """

    def __init__(self, config: MonitoringConfig, registry: CollectorRegistry) -> None:
        self.config = config
        self._folder = Path(config.folder)
        self._waiting: deque[Answered | dict[str, Any]] = deque()
        self._files: dict[str, IO[bytes]] = {}
        self._writing, self._hurry, self._ended = Lock(), Event(), Event()
        self._records = Counter(
            "prediction_log_records",
            "Records of the prediction log.",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("written", "dropped", "lost"):
            self._records.labels(outcome)  # a rate needs the 0 before the first
        self._thread = Thread(target=self._work, name="prediction log", daemon=True)
        self._thread.start()

    def offer(self, record: Answered | dict[str, Any]) -> bool:
        """Take an answer, or the truth, to record; return `False` if it is dropped."""
        number, most = len(self._waiting), self.config.max_waiting
        if number >= most // 2:
            self._hurry.set()
        if number < most:
            self._waiting.append(record)
        else:
            self._records.labels("dropped").inc()
        return number < most

    def close(self) -> None:
        """Write what waits."""
        self._ended.set()
        self._hurry.set()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        has_ended = False
        while not has_ended:
            self._hurry.wait(WRITE_INTERVAL_S)
            self._hurry.clear()
            has_ended = self._ended.is_set()
            self.write()

    def write(self) -> None:
        """Write what waits now."""
        with self._writing:
            lines: dict[str, list[bytes]] = {}
            while self._waiting:
                try:
                    kind, record = self._described(self._waiting.popleft())
                except Exception as error:  # of any encoder
                    log.warning("%s: a record is lost: %r", self._folder, error)
                    self._records.labels("lost").inc()
                    continue
                lines.setdefault(kind, []).append(json.dumps(record, default=str).encode() + b"\n")
            for kind, some in lines.items():
                self._append(kind, some)

    def _described(self, one: Answered | dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if isinstance(one, dict):
            return FEEDBACK, one
        record, row, encoder = one
        record["input_hash"] = _hash(row)
        if self.config.features:
            record["features"] = encoder.measures(row)
        if self.config.inputs:
            record["input"] = {name: one for name, one in row.items() if _is_plain(one)}
        return PREDICTIONS, record

    def _append(self, kind: str, lines: list[bytes]) -> None:
        outcome = "written"
        try:
            file = self._file(kind)
            file.write(b"".join(lines))
            file.flush()
        except OSError as error:
            log.warning("%s: %s; %d records are lost", self._folder, error.strerror, len(lines))
            outcome = "lost"
            with suppress(OSError, KeyError):
                self._files.pop(kind).close()
        self._records.labels(outcome).inc(len(lines))

    def _file(self, kind: str) -> IO[bytes]:
        """Return the file to append to: a new one if the last is full, or no longer there."""
        file = self._files.get(kind)
        is_full = file and file.tell() >= self.config.max_bytes / FILES_PER_LOG
        if file and not is_full and Path(file.name).exists():
            return file
        if file:
            del self._files[kind]
            file.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._delete_oldest(kind)
        name = f"{kind}-{time.time_ns()}-{os.getpid()}.jsonl"
        self._files[kind] = file = (self._folder / name).open("ab")
        return file

    def _delete_oldest(self, kind: str) -> None:
        """Delete the oldest files, so that there is room for another."""
        sizes = _sizes(self._folder, kind)
        room = self.config.max_bytes * (1 - 1 / FILES_PER_LOG)
        for path in list(sizes):
            if sum(sizes.values()) > room or len(sizes) >= self.config.max_files:
                path.unlink(missing_ok=True)
                del sizes[path]


def files_of(folder: Path, kind: str) -> list[Path]:
    """Return the files of a log, oldest first."""
    return sorted(folder.glob(f"{kind}-*.jsonl"))


def is_full(config: MonitoringConfig) -> bool:
    """Whether older predictions were deleted, or will be with the next file."""
    sizes = _sizes(Path(config.folder), PREDICTIONS).values()
    room = config.max_bytes * (1 - 2 / FILES_PER_LOG)
    return sum(sizes) > room or len(sizes) >= config.max_files


def _sizes(folder: Path, kind: str) -> dict[Path, int]:
    """Return the bytes of each file, oldest first."""
    sizes = {}
    for path in files_of(folder, kind):
        with suppress(FileNotFoundError):  # another server has deleted it
            sizes[path] = path.stat().st_size
    return sizes


def read_log(folder: Path, kind: str) -> Iterator[Mapping[str, Any]]:
    """Yield the records of a log, oldest first, without a line that a crash has cut."""
    for path in files_of(folder, kind):
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    yield json.loads(line)


def _hash(row: Values) -> str:
    """Return 16 digits of the SHA-256 of a row, which are equal for equal rows."""
    digest = hashlib.sha256()
    for name in sorted(row):
        value = row[name]
        content = value.tobytes() if hasattr(value, "tobytes") else repr(value).encode()
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


def _is_plain(value: Any) -> bool:
    return not isinstance(value, bytes) and not hasattr(value, "tobytes")

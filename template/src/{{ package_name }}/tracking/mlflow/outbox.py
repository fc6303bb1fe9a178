"""What of a journal the server has not got.

`delivered` gets a line before and one after each batch that is sent: how many bytes of the journal
the server has, and how many it may have. The last line counts.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .journal import LINES, RUNNING, Record, locked, records

DELIVERED = "delivered"
MAX_POINTS = 1000
"""Points of a batch, unless one call brought more; MLflow takes no more in a request."""


@dataclass(frozen=True)
class Batch:
    """Records to deliver together: metrics, or one of another kind."""

    records: list[Record]
    end: int
    """The offset in bytes behind the last of them."""
    may_be_there: bool
    """An earlier attempt ended without an answer."""


class Outbox:
    """The part of a journal that is not delivered, open in one place at a time."""

    def __init__(self, folder: Path, *, wait_s: float = 0) -> None:
        """Open what waits in `folder`.

        Raises:
            JournalInUseError: It was in use for `wait_s` seconds.
        """
        self.folder = folder
        self._file = locked(folder / DELIVERED, wait_s)
        self._delivered, self._sent = _progress(folder)
        _, self.first = next(records(folder / LINES), (0, Record()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def batch(self) -> Batch | None:
        """Return the next records to deliver; None where the server has all."""
        batch: list[Record] = []
        num_points, last = 0, self._delivered
        for end, record in records(self.folder / LINES, self._delivered):
            count = len(record.get("metrics", ()))
            if batch and (not count or num_points + count > MAX_POINTS):
                break
            batch.append(record)
            num_points, last = num_points + count, end
            if not count:
                break
        return Batch(batch, last, self._delivered < self._sent) if batch else None

    def send(self, batch: Batch) -> None:
        """Note that the server may have `batch` from now on."""
        self._note(self._delivered, max(self._sent, batch.end))

    def acknowledge(self, batch: Batch) -> None:
        """Note that the server has `batch`, and all before it."""
        self._note(batch.end, max(self._sent, batch.end))

    def remove(self) -> None:
        """Remove the journal."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _note(self, delivered: int, sent: int) -> None:
        self._file.write(f"{delivered} {sent}\n".encode())
        self._delivered, self._sent = delivered, sent


def waiting(folder: Path) -> str:
    """Return in words what the server has not got, such as `3 points, model and its end`, or ``."""
    found = [record for _, record in records(folder / LINES, _progress(folder)[0])]
    points = sum(len(record.get("metrics", ())) for record in found)
    parts = [f"{points} point{'s' * (points != 1)}"] if points else []
    parts += ["its settings"] if any("settings" in record for record in found) else []
    parts += [record["name"] for record in found if "folder" in record]
    is_ended = any(record.get("status", RUNNING) != RUNNING for record in found)
    parts += ["its end"] if is_ended else []
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def is_complete(folder: Path) -> bool:
    """Return whether the run has ended and the server has all of it.

    A run that was killed has not ended, and may continue.
    """
    *_, (end, last) = records(folder / LINES)
    return _progress(folder)[0] == end and last.get("status", RUNNING) != RUNNING


def _progress(folder: Path) -> tuple[int, int]:
    """Return how many bytes the server has, and how many it may have."""
    path = folder / DELIVERED
    lines = (path.read_bytes() if path.exists() else b"").splitlines()
    size = (folder / LINES).stat().st_size
    try:
        delivered, sent = map(int, lines[-1].split() if lines else (0, 0))
    except ValueError:
        delivered, sent = -1, -1
    if not 0 <= delivered <= sent <= size:  # damaged, or of a longer journal: ask the server
        return 0, size
    return delivered, sent

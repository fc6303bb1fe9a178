"""How what a journal holds reaches MLflow, each point once.

A point is the same however often it is sent, for its time is in the journal: MLflow's stores keep
one of each. Where a run goes on, and after a request without an answer, the server is asked first.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..config import flat
from .base import TrackingError
from .journal import RUNNING, Journal, JournalInUseError, Record, journals
from .server import place, tracking_uri, translated
from .sqlite import insert_points

# isort: split
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

MAX_POINTS = 1000
"""Points of a request; MLflow takes no more."""

log = logging.getLogger(__name__)

Point = tuple[str, float, int, int]
"""Name, value, time in milliseconds since 1970, step."""


class Delivery:
    """Brings the records of one run to MLflow."""

    def __init__(self, run_id: str, *, repeats: bool) -> None:
        """Deliver to the run `run_id`; one that `repeats` has some points already."""
        self.run_id = run_id
        self.uri = tracking_uri()
        self.client = MlflowClient(self.uri, self.uri)
        self._asks = repeats
        self._recorded: dict[str, set[int]] = {}

    def deliver(self, journal: Journal) -> None:
        """Send all that the server has not got.

        Raises:
            TrackingError: The server did not take it; what it took is noted in the journal.
        """
        try:
            with translated():
                while batch := journal.batch():
                    self._send(batch.records)
                    journal.acknowledge(batch)
        except TrackingError:
            self._asks = True
            self._recorded.clear()
            raise

    def _send(self, records: list[Record]) -> None:
        points = [point for record in records for point in _points(record)]
        if points:
            self._send_points(points)
        for record in records:
            if "settings" in record:
                self._send_settings(record["settings"], record["tags"])
            elif "folder" in record:
                self._send_folder(Path(record["folder"]), record["name"], record["sha256"])
            elif "status" in record:
                self._send_status(record["status"], record["time"])

    def _send_points(self, points: list[Point]) -> None:
        new = self._unrecorded(points) if self._asks else points
        if self.uri.startswith("sqlite:"):
            insert_points(self.uri, self.run_id, new)
        else:
            metrics = [Metric(*point) for point in new]
            for start in range(0, len(metrics), MAX_POINTS):
                self.client.log_batch(self.run_id, metrics[start : start + MAX_POINTS])
        for name, _, _, step in new if self._asks else ():
            self._recorded[name].add(step)

    def _unrecorded(self, points: list[Point]) -> list[Point]:
        for name in {name for name, *_ in points} - self._recorded.keys():
            history = self.client.get_metric_history(self.run_id, name)
            self._recorded[name] = {metric.step for metric in history}
        return [point for point in points if point[3] not in self._recorded[point[0]]]

    def _send_settings(self, settings: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        recorded = self.client.get_run(self.run_id).data.params
        params = [Param(k, v) for k, v in flat(settings).items() if k not in recorded]
        run_tags = [RunTag(name, value) for name, value in tags.items()]
        self.client.log_batch(self.run_id, params=params, tags=run_tags)
        self.client.log_dict(self.run_id, dict(settings), "config.yaml")

    def _send_folder(self, folder: Path, name: str, sha256: str) -> None:
        if folder_sha256(folder) != sha256:
            message = "%s has changed since run %s ended: its folder %s cannot be delivered"
            log.warning(message, folder, self.run_id, name)
            return
        self.client.log_artifacts(self.run_id, str(folder), name)

    def _send_status(self, status: str, time_ms: int) -> None:
        if status == RUNNING:
            self.client.update_run(self.run_id, status)
        else:
            self.client.set_terminated(self.run_id, status, time_ms)


def deliver_others(own: Path) -> None:
    """Deliver the journals beside `own` that earlier runs left, where no process has them open.

    Those of runs that are recorded elsewhere wait.
    """
    for folder in journals(own.parent):
        if folder != own:
            deliver_folder(folder, only_at=place(tracking_uri()))


def deliver_folder(folder: Path, *, only_at: str | None = None) -> str | None:
    """Deliver a journal and return in words what it was; null where another process has it open.

    It is removed when the run has ended. What is not recorded at `only_at` is left alone.

    Raises:
        TrackingError: The server does not answer, or does not know the run.
    """
    try:
        journal = Journal(folder)
    except JournalInUseError:
        return None
    is_complete = False
    try:
        what = journal.waiting()
        if only_at in (None, journal.place) and not journal.is_delivered:
            Delivery(journal.run_id, repeats=True).deliver(journal)
        is_complete = journal.is_delivered and journal.is_ended
        return what
    finally:
        journal.close(remove=is_complete)


def folder_sha256(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all files in `folder`."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{content} {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def _points(record: Record) -> Iterable[Point]:
    for name, value in record.get("metrics", {}).items():
        yield name, value, record["time"], record["step"]

"""How what a journal holds reaches MLflow, each point once.

A point is the same however often it is sent, for its time is in the journal: MLflow's databases
keep one of each. Where a run resumes, and after a request without an answer, the server is asked
what it has.
"""

import hashlib
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...config import flat
from .journal import LINES, RUNNING, JournalInUseError, journals, locked
from .outbox import MAX_POINTS, Batch, Outbox, is_complete, waiting
from .server import place, tracking_uri, translated

# isort: split
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

log = logging.getLogger(__name__)


class Delivery:
    """Brings the records of one run to MLflow."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._run_id = outbox.folder.name
        self._client = MlflowClient(tracking_uri(), tracking_uri())
        self._recorded: dict[str, set[int]] = {}
        """By metric, the steps that the server was found to have."""

    @translated()
    def deliver(self) -> None:
        """Send all that the server has not got.

        Raises:
            TrackingError: The server did not take it; what it took is noted in the outbox.
        """
        while batch := self._outbox.batch():
            self._outbox.send(batch)
            self._send_points(batch)
            for record in batch.records:
                if "settings" in record:
                    self._send_settings(record["settings"], record["tags"])
                elif "folder" in record:
                    self._send_folder(Path(record["folder"]), record["name"], record["sha256"])
                elif "status" in record:
                    self._send_status(record["status"], record["time"])
            self._outbox.acknowledge(batch)

    def _send_points(self, batch: Batch) -> None:
        points = [
            Metric(name, value, record["time"], record["step"])
            for record in batch.records
            for name, value in record.get("metrics", {}).items()
        ]
        if batch.may_be_there:
            self._recorded.clear()
        if batch.may_be_there or self._outbox.first.get("repeats"):
            points = [point for point in points if point.step not in self._steps_of(point.key)]
        for start in range(0, len(points), MAX_POINTS):
            self._client.log_batch(self._run_id, points[start : start + MAX_POINTS])

    def _steps_of(self, name: str) -> set[int]:
        if name not in self._recorded:
            history = self._client.get_metric_history(self._run_id, name)
            self._recorded[name] = {metric.step for metric in history}
        return self._recorded[name]

    def _send_settings(self, settings: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        recorded = self._client.get_run(self._run_id).data.params
        params = [Param(k, v) for k, v in flat(settings).items() if k not in recorded]
        run_tags = [RunTag(name, value) for name, value in tags.items()]
        self._client.log_batch(self._run_id, params=params, tags=run_tags)
        self._client.log_dict(self._run_id, dict(settings), "config.yaml")

    def _send_folder(self, folder: Path, name: str, sha256: str) -> None:
        if folder_sha256(folder) != sha256:
            message = "%s has changed since run %s ended: its folder %s cannot be delivered"
            log.warning(message, folder, self._run_id, name)
            return
        self._client.log_artifacts(self._run_id, str(folder), name)

    def _send_status(self, status: str, time_ms: int) -> None:
        if status == RUNNING:
            self._client.update_run(self._run_id, status)
        else:
            self._client.set_terminated(self._run_id, status, time_ms)


def deliver_folder(folder: Path, *, only_at: str | None = None) -> str | None:
    """Deliver a journal and return in words what it was; None where another process has it open.

    It is removed when the run has ended. What is not recorded at `only_at` is left alone.

    Raises:
        TrackingError: The server does not answer, or does not know the run.
    """
    with suppress(JournalInUseError), locked(folder / LINES), Outbox(folder) as outbox:
        what = waiting(folder) or "nothing"
        if only_at in (None, outbox.first.get("place")):
            Delivery(outbox).deliver()
        if is_complete(folder):
            outbox.remove()
        return what
    return None


def deliver_others(own: Path) -> None:
    """Deliver the journals beside `own` that earlier runs left, where no process has them open.

    Those of runs that are recorded elsewhere wait.
    """
    for folder in journals(own.parent):
        if folder != own:
            deliver_folder(folder, only_at=place(tracking_uri()))


def folder_sha256(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all files in `folder`."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{content} {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()

"""Sends what a journal holds to MLflow, each point once.

    .tracking/<run id>.<time>/journal.jsonl   a record a line, in the order in which they were made
    .tracking/<run id>.<time>/<name>/         a copy of each folder that was recorded
    .tracking/<run id>.<time>/attempted       there once something may have been sent

A journal does not record what was sent. The server is queried when it may have a point already:
when a run resumes, after a failed request, and for a journal that an earlier run left.
`python -m <package>.tracking.mlflow.delivery`, in the project's root, delivers all that is left.
"""

import argparse
import fcntl
import json
import logging
import os
import select
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from ...rules import flat
from ..base import TrackingError
from .server import connect, tracking_uri, translated

# isort: split
from mlflow.entities import Metric, Param, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

log = logging.getLogger(__name__)

JOURNALS = Path(".tracking")
LINES = "journal.jsonl"
ATTEMPTED = "attempted"

MAX_INTERVAL_S = 10
"""Longest interval between deliveries; each interval is twice the one before."""
MAX_SILENT_INTERVAL_S = 60
"""Longest interval between attempts to reach a server that does not answer."""
SAMPLE_EVERY_S = 5
"""Interval of system metrics, unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL is set."""

Record = dict[str, Any]
"""Has the keys since (in the first); metrics, step, time; settings, tags; folder; or status, time.
Times are in milliseconds since 1970."""


class Delivery:
    """Sends the records of one journal, in their order.

    A point is identified by its name and step. If the server is queried while it still processes an
    earlier request, some points are sent twice; MLflow's databases keep one of equal rows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run_id = run_id_of(folder)
        self._client = connect()
        self._lines = (folder / LINES).open("rb")
        self._since_ms = 0
        """Points on the server from before this time are ignored; 0 ignores none."""
        self._steps: dict[str, set[int]] = {}
        """The steps that the server has, by metric."""
        self._may_have_some = (folder / ATTEMPTED).exists()
        (folder / ATTEMPTED).touch()

    @translated()
    def deliver(self) -> None:
        """Send what was recorded since the last time.

        Raises:
            TrackingError: The server did not take all of it.
        """
        start = self._lines.tell()
        try:
            for are_points, records in groupby(self._records(), lambda record: "metrics" in record):
                if are_points:
                    self._send_points(records)
                else:
                    for record in records:
                        self._send(record)
        except BaseException:
            self._lines.seek(start)
            self._steps.clear()
            self._may_have_some = True
            raise

    def _records(self) -> Iterator[Record]:
        for line in iter(self._lines.readline, b""):
            if not line.endswith(b"\n"):  # being written, or cut off when the process was killed
                self._lines.seek(-len(line), os.SEEK_CUR)
                return
            try:
                yield json.loads(line)
            except ValueError:
                log.warning("%s has a damaged line, which is skipped", self._lines.name)

    def _send_points(self, records: Iterable[Record]) -> None:
        points = [
            Metric(name, value, record["time"], record["step"])
            for record in records
            for name, value in record["metrics"].items()
            if self._is_new(name, record["step"])
        ]
        self._client.log_batch(self._run_id, points)

    def _is_new(self, name: str, step: int) -> bool:
        """Return whether the server lacks this point, so that it must be sent."""
        if name not in self._steps:
            self._steps[name] = self._recorded_steps(name) if self._may_have_some else set()
        is_new = step not in self._steps[name]
        self._steps[name].add(step)
        return is_new

    def _recorded_steps(self, name: str) -> set[int]:
        history = self._client.get_metric_history(self._run_id, name)
        return {point.step for point in history if point.timestamp >= self._since_ms}

    def _send(self, record: Record) -> None:
        match record:
            case {"since": since_ms}:
                self._since_ms = since_ms
                self._may_have_some |= since_ms == 0
            case {"settings": settings, "tags": tags}:
                recorded = self._client.get_run(self._run_id).data.params
                params = [Param(k, v) for k, v in flat(settings).items() if k not in recorded]
                run_tags = [RunTag(name, value) for name, value in tags.items()]
                self._client.log_batch(self._run_id, params=params, tags=run_tags)
                self._client.log_dict(self._run_id, settings, "config.yaml")
            case {"folder": name}:
                self._client.log_artifacts(self._run_id, str(self.folder / name), name)
            case {"status": status, "time": time_ms}:
                self._client.set_terminated(self._run_id, status, time_ms)

    def complete(self) -> None:
        """Deliver the rest of a journal that no longer grows, and remove it."""
        self.deliver()
        self._lines.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def deliver(folder: Path) -> bool:
    """Deliver a journal that no longer grows, or log why not; return whether it is delivered."""
    try:
        Delivery(folder).complete()
    except TrackingError as error:
        log.warning("run %s: %s", run_id_of(folder), error)
        return False
    return True


def deliver_leftovers() -> bool:
    """Deliver what earlier runs left here, and log it; return whether nothing is left."""
    return all([_deliver_leftover(path) for path in sorted(JOURNALS.glob(f"*/{LINES}"))])


def _deliver_leftover(lines: Path) -> bool:
    run_id = run_id_of(lines.parent)
    try:
        with lines.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not deliver(lines.parent):
                return False
    except BlockingIOError:
        log.info("run %s continues in another process, which delivers it", run_id)
    except FileNotFoundError:
        pass  # the process that followed it has delivered and removed it
    else:
        log.info("run %s: what was left is delivered", run_id)
    return True


def follow(folder: Path) -> None:
    """Deliver a journal while it grows, and its rest when standard input ends.

    Standard input ends with the process that trains, even if that is killed.
    """
    delivery, interval_s, is_silent, is_over = Delivery(folder), 1, False, False
    while not is_over:
        is_over = bool(select.select([sys.stdin], [], [], interval_s)[0])
        try:
            delivery.deliver()
        except TrackingError as error:
            if not is_silent:
                log.warning("%s. Training continues; figures wait in %s", error, folder)
            is_silent = True
        else:
            if is_silent:
                log.warning("the tracking server answers again: all is delivered")
            is_silent = False
        interval_s = min(2 * interval_s, MAX_SILENT_INTERVAL_S if is_silent else MAX_INTERVAL_S)
    if not is_silent:
        delivery.complete()


def run_id_of(folder: Path) -> str:
    """Return the id of the run whose journal is in `folder`."""
    return folder.stem


def main() -> None:
    """Deliver all journals; with --follow, one that grows."""
    parser = argparse.ArgumentParser(description="Deliver what waits for the tracking server.")
    parser.add_argument("--follow", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--system-metrics", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.follow is None:
        sys.exit(not deliver_leftovers())
    if options.system_metrics:
        # Of CPU, memory and GPU. They are not in the journal: an outage loses them.
        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
        run_id, uri = run_id_of(options.follow), tracking_uri()
        SystemMetricsMonitor(run_id, SAMPLE_EVERY_S, resume_logging=True, tracking_uri=uri).start()
    with suppress(FileNotFoundError):  # a run that began since has delivered and removed it
        follow(options.follow)


if __name__ == "__main__":
    main()

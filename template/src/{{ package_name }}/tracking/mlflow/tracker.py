"""Records a run in MLflow through a journal, so that training does not wait for a server."""

import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import Any, Self

from ...config import Config, TrackingConfig
from ..base import RunStatus, Tracker, TrackingError
from . import delivery
from .delivery import ATTEMPTED, JOURNALS, LINES, deliver, deliver_leftovers
from .server import connect, database, shown_uri, translated

# isort: split
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

log = logging.getLogger(__name__)

ARTIFACTS = "mlruns"
DELIVER = f"python -m {delivery.__name__}"
START_AFTER_S = 3
"""A run that is shorter is delivered at its end."""
EXIT_WAIT_S = 4
"""Longest time that a run waits at its end for the rest to be delivered."""


class MlflowTracker(Tracker):
    """Records one run in MLflow."""

    def __init__(self, config: TrackingConfig) -> None:
        super().__init__(config)
        self._client = connect()
        self._run_id: str | None = None

    @property
    def run_id(self) -> str | None:
        return self._run_id

    @translated()
    def start(self, name: str, *, run_id: str | None = None) -> Self:
        """Begin a run called `name`, or continue the run `run_id` if the server knows it.

        Raises:
            TrackingError: The server does not answer. Later methods do not wait for it.
        """
        experiment = self._client.get_experiment_by_name(self.config.experiment)
        deliver_leftovers()  # one may be of this run
        known = self._known_run(run_id) if run_id else None
        run = known or self._client.create_run(self._experiment_id(experiment), run_name=name)
        self._run_id = run.info.run_id
        if known:
            self._client.update_run(self._run_id, "RUNNING")
        elif run_id:
            log.info("run %s is not recorded at %s; a new run begins", run_id, shown_uri())
        self._journal = Journal(self._run_id)
        # An unfinished run repeats the points after its last checkpoint. A finished one is
        # evaluated again and gets new points at the same steps.
        repeats = known is not None and known.info.status != RunStatus.finished
        self._journal.append(since=0 if repeats else now_ms())
        metrics = self.config.system_metrics
        self._forwarder = Forwarder(self._journal.folder, system_metrics=metrics)
        return self

    def _known_run(self, run_id: str) -> Run | None:
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run if run.info.lifecycle_stage == "active" else None

    def _experiment_id(self, experiment: Experiment | None) -> str:
        """Return the experiment's id; with a SQLite database, its files are in mlruns beside it.

        Raises:
            TrackingError: The database was moved, and MLflow stores absolute paths of the files.
        """
        name, file = self.config.experiment, database()
        root = (file.parent / ARTIFACTS).as_uri() if file else None
        if experiment is None:
            return self._client.create_experiment(name, root)
        location = experiment.artifact_location
        if root and location != root and location.endswith(f"/{ARTIFACTS}"):
            raise TrackingError(
                f"the files of experiment {name} are in {location}, not in {root}: move the "
                "project back, or begin another experiment with tracking.experiment=NAME"
            )
        return experiment.experiment_id

    def log_config(self, config: Config, *, tags: Mapping[str, str]) -> None:
        """Record every setting as a parameter, all of them as config.yaml, and tags.

        A resumed run keeps the first value of each parameter; config.yaml has the last.
        """
        self._journal.append(settings=asdict(config), tags=dict(tags))

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record `metrics` at `step`, except for those that the run has at this step already."""
        figures = {name: float(value) for name, value in metrics.items()}
        self._journal.append(metrics=figures, step=step, time=now_ms())
        self._forwarder.start_if_due()

    def log_folder(self, folder: Path, name: str) -> None:
        self._journal.append_folder(folder, name)

    def log_bundle(self, folder: Path, sha256: str) -> None:
        """Store a bundle, without changing another of the run, which may be registered."""
        self.log_folder(folder, bundle_path(sha256))

    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        """End the run. Records that are not delivered within seconds are left to the next run."""
        self._journal.append(status=status, time=now_ms())
        self._journal.close()
        if not self._forwarder.finish():
            message = "run %s is not delivered yet: the rest waits in %s; deliver it with `%s`"
            log.warning(message, self._run_id, self._journal.folder, DELIVER)


class Forwarder:
    """Delivers a journal from a separate process, so that training does not wait.

    In the process that trains, MLflow's client would take a quarter of the time of a small model's
    steps. A short run is delivered at its end, without that process.
    """

    def __init__(self, journal: Path, *, system_metrics: bool) -> None:
        self._journal = journal
        self._command = [sys.executable, "-m", delivery.__name__, "--follow", str(journal)]
        self._command += ["--system-metrics"] if system_metrics else []
        self._start_at_s = time.monotonic() + START_AFTER_S
        self._process: subprocess.Popen[bytes] | None = None

    def start_if_due(self) -> None:
        """Start the process once the run has lasted some seconds."""
        if self._process or time.monotonic() < self._start_at_s:
            return
        paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.PIPE,  # ends with this process
            start_new_session=True,  # Ctrl-C is for this process
        )

    def finish(self) -> bool:
        """Deliver the rest; return whether that was possible in time."""
        process = self._process
        # Before its first attempt it is still importing MLflow, which is imported here.
        is_at_work = process is not None and (self._journal / ATTEMPTED).exists()
        if process:
            try:
                process.communicate(timeout=EXIT_WAIT_S if is_at_work else 0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not is_at_work:
            # A daemon, so that a request without an answer does not keep this process alive.
            rest = Thread(target=deliver, args=(self._journal,), daemon=True)
            rest.start()
            rest.join(EXIT_WAIT_S)
        return not self._journal.exists()


class Journal:
    """The file to which one process appends the records of one run.

    Once `append` has returned, a record survives the end of the process, but not a power failure,
    since the file is not synced. The folder is removed once all of it is delivered.
    """

    def __init__(self, run_id: str) -> None:
        self.folder = JOURNALS / f"{run_id}.{now_ms()}"
        self.folder.mkdir(parents=True)
        self._file = (self.folder / LINES).open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)  # other processes deliver only unlocked journals
        self._has_warned = False

    def append(self, **record: Any) -> None:
        """Write a record; on a full disk it stays in the file's buffer while there is room."""
        try:
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            self._warn(error)

    def append_folder(self, folder: Path, name: str) -> None:
        """Keep a copy of `folder`, which may have changed by the time it is delivered."""
        try:
            shutil.copytree(folder, self.folder / name, dirs_exist_ok=True)
        except OSError as error:
            self._warn(error)
        else:
            self.append(folder=name)

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            reason = error.strerror or error
            log.warning("%s: %s; training continues and is not recorded", self.folder, reason)
        self._has_warned = True

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


def bundle_path(sha256: str) -> str:
    """Return where, among the files of its run, the bundle with this hash is."""
    return f"model/{sha256[:12]}"


def now_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000

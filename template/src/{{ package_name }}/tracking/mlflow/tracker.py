"""One run in MLflow, recorded in its journal first."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

from ...config import Config, TrackingConfig
from ..base import RunStatus, Tracker, TrackingError
from .delivery import folder_sha256
from .forwarding import Forwarder
from .journal import JOURNALS, RUNNING, Journal, now_ms
from .server import (
    SCHEME,
    database_of,
    place,
    tracking_uri,
    translated,
    unless_missing,
    without_password,
)

# isort: split
from mlflow import MlflowClient
from mlflow.entities import Run

log = logging.getLogger(__name__)

ARTIFACTS = "mlruns"
REPLAY = f"python -m {__package__}.replay"
JOURNAL_WAIT_S = 15


class MlflowTracker(Tracker):
    """Records one run in MLflow, and its bundle in MLflow's registry."""

    @translated()
    def __init__(self, config: TrackingConfig) -> None:
        super().__init__(config)
        self._uri = tracking_uri()
        self._client = MlflowClient(self._uri, self._uri)
        self._journal: Journal | None = None
        self._forwarder: Forwarder | None = None

    @property
    def run_id(self) -> str | None:
        """The id of the run."""
        return self._journal.folder.name if self._journal else None

    @property
    def _open_journal(self) -> Journal:
        assert self._journal, "no run was started"
        return self._journal

    @translated()
    def start(self, name: str, *, run_id: str | None = None) -> Self:
        """Begin a run called `name`, or continue the run `run_id` where the server knows it.

        Raises:
            TrackingError: The server does not answer. Later it may: nothing else here asks it.
        """
        known = self._known_run(run_id) if run_id else None
        if known:
            self._client.update_run(known.info.run_id, status=RUNNING)
        elif run_id:
            shown = without_password(self._uri)
            log.info("run %s is not recorded at %s; a new run begins", run_id, shown)
        run = known or self._client.create_run(self._experiment_id(), run_name=name)
        # A run that was finished is measured anew; one that was not repeats what it had measured.
        repeats = known is not None and known.info.status != RunStatus.finished
        self._journal = Journal(
            JOURNALS / run.info.run_id,
            place=place(self._uri),
            repeats=repeats,
            wait_s=JOURNAL_WAIT_S,
        )
        if known:
            self._journal.append({"status": RUNNING, "time": now_ms()})
        self._forwarder = Forwarder(self._journal.folder, system_metrics=self.config.system_metrics)
        return self

    def _known_run(self, run_id: str) -> Run | None:
        run = unless_missing(lambda: self._client.get_run(run_id))
        return run if run and run.info.lifecycle_stage == "active" else None

    def _experiment_id(self) -> str:
        """Return the experiment's id; beside a SQLite database it keeps its files in mlruns.

        Raises:
            TrackingError: It keeps them where the database was before: MLflow knows whole paths.
        """
        name, root = self.config.experiment, None
        if self._uri.startswith(SCHEME):
            root = (database_of(self._uri).parent / ARTIFACTS).as_uri()
        experiment = self._client.get_experiment_by_name(name)
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

        A parameter of a run that resumes keeps its first value; config.yaml has the last.
        """
        settings = json.loads(json.dumps(asdict(config)))
        self._open_journal.append({"settings": settings, "tags": dict(tags)})

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record `metrics` at `step`, but for those that the run has at this step already."""
        self._open_journal.log_metrics(metrics, step=step)

    @translated()
    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of `folder` under `name` with the run."""
        sha256 = folder_sha256(folder)
        self._open_journal.append({"folder": str(folder), "name": name, "sha256": sha256})

    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        """End the run. What the server does not take within seconds is left to a replay."""
        journal = self._open_journal
        assert self._forwarder
        journal.append({"status": status, "time": now_ms()})
        if left := self._forwarder.finish():
            message = "run %s is not delivered yet: %s wait in %s; deliver with `%s`"
            log.warning(message, self.run_id, left, journal.folder, REPLAY)
        journal.close(remove=not left)

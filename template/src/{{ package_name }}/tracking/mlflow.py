"""Runs and models in MLflow: on the server that MLFLOW_TRACKING_URI names, else in mlflow.db.

What a run records goes to its journal, and from there to MLflow by a thread: once a run has begun
no server holds it up or ends it. `python -m <package>.tracking.replay` delivers what is left.
"""

import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from ..artifacts import replace_folder
from ..config import Config, TrackingConfig
from .base import RegisteredModel, RunStatus, Tracker
from .delivery import Delivery, folder_sha256
from .forwarding import Forwarder
from .journal import JOURNALS, RUNNING, Journal, now_ms, waiting_of
from .server import place, tracking_uri, translated, unless_missing, without_password
from .sqlite import artifact_root
from .system_metrics import SystemMetrics

# isort: split
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run

log = logging.getLogger(__name__)

ALIAS = "champion"
BUNDLE_VERSION = "bundle_version"
REPLAY = f"python -m {__package__}.replay"
JOURNAL_WAIT_S = 15


class MlflowTracker(Tracker):
    """Records one run in MLflow, and its bundle in MLflow's registry."""

    @translated()
    def __init__(self, config: TrackingConfig) -> None:
        super().__init__(config)
        self._uri = uri = tracking_uri()
        self._artifact_root = artifact_root(uri)
        self._client = MlflowClient(uri, uri)
        self._forwarder: Forwarder | None = None
        self._system_metrics: SystemMetrics | None = None

    @property
    def run_id(self) -> str | None:
        """The id of the run."""
        return self._forwarder.journal.run_id if self._forwarder else None

    @property
    def _open_forwarder(self) -> Forwarder:
        assert self._forwarder, "no run was started"
        return self._forwarder

    @property
    def _journal(self) -> Journal:
        return self._open_forwarder.journal

    @translated()
    def start(self, run_id: str | None = None) -> Self:
        """Begin a run, or go on with the run `run_id` where the server knows it.

        Raises:
            TrackingError: The server does not answer. Later it may: nothing else here asks it.
        """
        known = self._known_run(run_id) if run_id else None
        if known:
            self._client.update_run(known.info.run_id, status=RUNNING)
        elif run_id:
            shown = without_password(self._uri)
            log.info("run %s is not recorded at %s; a new run begins", run_id, shown)
        run = known or self._client.create_run(self._experiment_id())
        self._forwarder = self._new_forwarder(run, goes_on=known is not None)
        self._forwarder.start()
        if self.config.system_metrics:
            self._system_metrics = self._new_system_metrics(run)
            self._system_metrics.start()
        return self

    def _known_run(self, run_id: str) -> Run | None:
        run = unless_missing(lambda: self._client.get_run(run_id))
        return run if run and run.info.lifecycle_stage == "active" else None

    def _experiment_id(self) -> str:
        name = self.config.experiment
        if experiment := self._client.get_experiment_by_name(name):
            return experiment.experiment_id
        return self._client.create_experiment(name, self._artifact_root)

    def _new_forwarder(self, run: Run, *, goes_on: bool) -> Forwarder:
        run_id = run.info.run_id
        journal = Journal(JOURNALS / run_id, place=place(self._uri), wait_s=JOURNAL_WAIT_S)
        if goes_on:
            journal.append({"status": RUNNING, "time": now_ms()})
        # A run that was finished is measured anew; one that was not repeats what it had measured.
        repeats = goes_on and run.info.status != RunStatus.finished
        return Forwarder(journal, Delivery(run_id, repeats=repeats))

    def _new_system_metrics(self, run: Run) -> SystemMetrics:
        """Return what samples the system; a step is an interval since the run began."""

        def log_sample(sample: Mapping[str, float]) -> None:
            elapsed_s = (now_ms() - run.info.start_time) / 1000
            self.log_metrics(sample, step=int(elapsed_s / system_metrics.interval_s))

        system_metrics = SystemMetrics(run.info.run_id, log_sample)
        return system_metrics

    def log_config(self, config: Config, *, tags: Mapping[str, str]) -> None:
        """Record every setting as a parameter, all of them as config.yaml, and tags.

        A parameter of a run that goes on keeps its first value; config.yaml has the last.
        """
        settings = json.loads(json.dumps(asdict(config)))
        self._journal.append({"settings": settings, "tags": dict(tags)})

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record `metrics` at `step`, but for those that the run has at this step already."""
        self._journal.log_metrics(metrics, step=step)

    @translated()
    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of `folder` under `name` with the run."""
        sha256 = folder_sha256(folder)
        self._journal.append({"folder": str(folder), "name": name, "sha256": sha256})

    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        """End the run. What the server does not take within seconds is left to a replay."""
        if self._system_metrics:
            self._system_metrics.finish()
        self._journal.append({"status": status, "time": now_ms()})
        is_delivered = self._open_forwarder.finish()
        if not is_delivered:
            what = self._journal.waiting()
            message = "run %s is not delivered yet: %s wait in %s; deliver with `%s`"
            log.warning(message, self.run_id, what, self._journal.folder, REPLAY)
        self._journal.close(remove=is_delivered)

    def undelivered(self, run_id: str) -> str | None:
        """Return in a line what the server has not got of a run, and what to do; null if it has."""
        what = waiting_of(JOURNALS / run_id)
        return f"run {run_id} is not delivered yet: {what} wait; run `{REPLAY}`" if what else None

    @translated()
    def register(
        self, model_name: str, *, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        """Return the version of `model_name` that the run's folder `model` now is."""
        self._open_forwarder.flush()
        for version in self._client.search_model_versions(f"run_id = '{self.run_id}'"):
            same = version.tags.get(BUNDLE_VERSION) == tags.get(BUNDLE_VERSION)
            if version.name == model_name and same:
                return _registered(version)
        if unless_missing(lambda: self._client.get_registered_model(model_name)) is None:
            self._client.create_registered_model(model_name)
        source = f"runs:/{self.run_id}/model"
        version = self._client.create_model_version(
            model_name, source, self.run_id, dict(tags), description=description
        )
        return _registered(version)

    @translated()
    def champion(self, model_name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        model = unless_missing(lambda: self._client.get_registered_model(model_name))
        number = model.aliases.get(ALIAS) if model else None
        return _registered(self._client.get_model_version(model_name, number)) if number else None

    @translated()
    def promote(self, model: RegisteredModel) -> None:
        """Move the alias `champion` to `model`."""
        self._client.set_registered_model_alias(model.name, ALIAS, model.version)

    @translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Fetch the bundle of `model` in place of what `folder` holds; return `folder`."""
        source = self._client.get_model_version_download_uri(model.name, model.version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as new:
            fetched = download_artifacts(source, dst_path=new, tracking_uri=self._uri)
            replace_folder(Path(fetched), folder)
        return folder


def _registered(version: Any) -> RegisteredModel:
    return RegisteredModel(version.name, str(version.version), dict(version.tags))


create = MlflowTracker

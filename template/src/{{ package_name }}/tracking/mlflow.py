"""Runs and models in MLflow: on the server that MLFLOW_TRACKING_URI names, else in mlflow.db."""

import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

from ..config import Config, TrackingConfig
from .base import RegisteredModel, RunStatus, Tracker, TrackingError
from .sqlite import artifact_root

# Read when MLflow is imported. It would ask a dead server again for four minutes, and print the
# server's URI with its password.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from sqlalchemy.exc import SQLAlchemyError

T = TypeVar("T")
log = logging.getLogger(__name__)
logging.getLogger("alembic").setLevel(logging.WARNING)

DEFAULT_URI = "sqlite:///mlflow.db"
ALIAS = "champion"
MISSING = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)
BUNDLE_VERSION = "bundle_version"
SAMPLING_INTERVAL_S = 5


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the database in this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


@contextmanager
def _translated() -> Generator[None]:
    """Turn what MLflow and the connection raise into one line without the URI's password."""
    try:
        yield
    except (MlflowException, OSError, ImportError, SQLAlchemyError) as error:
        raise TrackingError(_explain(error)) from error


def _explain(error: Exception) -> str:
    uri = _without_password(tracking_uri())
    message = " ".join(str(error).split())
    if re.match(r"API request to .* failed with (timeout )?exception", message):
        way_out = "start it, or unset MLFLOW_TRACKING_URI to record in mlflow.db"
        return f"no answer from the tracking server {uri}; {way_out}"
    return f"MLflow at {uri}: {_without_password(message)[:300]}"


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^\s/]*@", "", text)


class MlflowTracker(Tracker):
    """Records one run in MLflow, and its bundle in MLflow's registry."""

    @_translated()
    def __init__(self, config: TrackingConfig) -> None:
        super().__init__(config)
        self._uri = uri = tracking_uri()
        self._artifact_root = artifact_root(uri)
        self._client = MlflowClient(uri, uri)
        self._run: Run | None = None
        self._monitor: SystemMetricsMonitor | None = None

    @property
    def run_id(self) -> str | None:
        """The id of the run."""
        return self._run.info.run_id if self._run else None

    @property
    def _id(self) -> str:
        assert self._run, "no run was started"
        return self._run.info.run_id

    @_translated()
    def start(self, run_id: str | None = None) -> Self:
        """Begin a run, or go on with the run `run_id` where the server knows it."""
        self._run = self._known_run(run_id) if run_id else None
        if self._run:
            self._client.update_run(self._id, status="RUNNING")
        else:
            self._run = self._client.create_run(self._experiment_id())
        if run_id and run_id != self.run_id:
            place = _without_password(self._uri)
            log.info("run %s is not recorded at %s; a new run begins", run_id, place)
        if self.config.system_metrics:
            self._monitor = SystemMetricsMonitor(
                self._id, SAMPLING_INTERVAL_S, resume_logging=True, tracking_uri=self._uri
            )
            self._monitor.start()
        return self

    def _known_run(self, run_id: str) -> Run | None:
        run = _unless_missing(lambda: self._client.get_run(run_id))
        return run if run and run.info.lifecycle_stage == "active" else None

    def _experiment_id(self) -> str:
        name = self.config.experiment
        if experiment := self._client.get_experiment_by_name(name):
            return experiment.experiment_id
        return self._client.create_experiment(name, self._artifact_root)

    @_translated()
    def log_config(self, config: Config, *, tags: Mapping[str, str]) -> None:
        """Record every setting as a parameter, all of them as config.yaml, and tags.

        A parameter of a run that goes on keeps its first value; config.yaml has the last.
        """
        settings = json.loads(json.dumps(asdict(config)))
        recorded = self._client.get_run(self._id).data.params
        params = [Param(k, v) for k, v in _flat(settings).items() if k not in recorded]
        self._client.log_batch(
            self._id, params=params, tags=[RunTag(name, value) for name, value in tags.items()]
        )
        self._client.log_dict(self._id, settings, "config.yaml")

    @_translated()
    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record `metrics` at `step`, in one request."""
        now_ms = int(time.time() * 1000)
        batch = [Metric(name, value, now_ms, step) for name, value in metrics.items()]
        self._client.log_batch(self._id, metrics=batch)

    @_translated()
    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of `folder` under `name` with the run."""
        self._client.log_artifacts(self._id, str(folder), name)

    @_translated()
    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        """End the run."""
        if self._monitor:
            self._monitor.finish()
        self._client.set_terminated(self._id, status)

    @_translated()
    def register(
        self, model_name: str, *, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        """Return the version of `model_name` that the run's folder `model` now is."""
        for version in self._client.search_model_versions(f"run_id = '{self._id}'"):
            same = version.tags.get(BUNDLE_VERSION) == tags.get(BUNDLE_VERSION)
            if version.name == model_name and same:
                return _registered(version)
        if _unless_missing(lambda: self._client.get_registered_model(model_name)) is None:
            self._client.create_registered_model(model_name)
        version = self._client.create_model_version(
            model_name, f"runs:/{self._id}/model", self._id, dict(tags), description=description
        )
        return _registered(version)

    @_translated()
    def champion(self, model_name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        model = _unless_missing(lambda: self._client.get_registered_model(model_name))
        number = model.aliases.get(ALIAS) if model else None
        return _registered(self._client.get_model_version(model_name, number)) if number else None

    @_translated()
    def promote(self, model: RegisteredModel) -> None:
        """Move the alias `champion` to `model`."""
        self._client.set_registered_model_alias(model.name, ALIAS, model.version)

    @_translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Fetch the bundle of `model` in place of what `folder` holds; return `folder`."""
        source = self._client.get_model_version_download_uri(model.name, model.version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as new:
            fetched = download_artifacts(source, dst_path=new, tracking_uri=self._uri)
            shutil.rmtree(folder, ignore_errors=True)
            Path(fetched).rename(folder)
        return folder


def _unless_missing(ask: Callable[[], T]) -> T | None:
    """Return the answer, or null where there is no such thing."""
    try:
        return ask()
    except MlflowException as error:
        if error.error_code == MISSING:
            return None
        raise


def _registered(version: Any) -> RegisteredModel:
    return RegisteredModel(version.name, str(version.version), dict(version.tags))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return `{"training.epochs": "3"}` of nested settings."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": str(value)}
    return flat


create = MlflowTracker

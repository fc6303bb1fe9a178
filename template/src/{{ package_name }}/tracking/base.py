"""A tracker that records nothing, which each back-end overrides."""

import logging
import secrets
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Self

from ..config import Config, TrackingConfig
from ..errors import ProjectError
from ..lookup import find_function

log = logging.getLogger(__name__)


class TrackingError(ProjectError):
    """A request to the tracking server or the registry failed."""


class RunStatus(StrEnum):
    """How a run ended."""

    finished = "FINISHED"
    failed = "FAILED"
    killed = "KILLED"


class Tracker:
    """Records one run. As a context manager it ends the run: finished, failed or killed.

    Every method may raise a TrackingError, but what is recorded between `start` and `finish` is not
    lost if the server goes down.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config

    @property
    def run_id(self) -> str | None:
        """The id of the run; `None` if nothing is recorded."""
        return None

    def start(self, name: str, *, run_id: str | None = None) -> Self:
        """Begin a run called `name`, or continue the run `run_id` if the server knows it."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.finish()
            return
        try:
            self.finish(RunStatus.failed if isinstance(error, Exception) else RunStatus.killed)
        except TrackingError as second:  # must not hide the original error
            log.warning("%s", second)

    def log_config(self, config: Config, *, tags: Mapping[str, str]) -> None:
        """Record the whole configuration, and tags such as the commit and the data's hash."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record `metrics` at the optimizer step `step`. It returns at once."""

    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of `folder` under `name` with the run."""

    def log_bundle(self, folder: Path, sha256: str) -> None:
        """Store the bundle in `folder` with the run; `sha256` is its hash."""
        self.log_folder(folder, "model")

    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        """End the run."""


def create_tracker(config: TrackingConfig) -> Tracker:
    """Return the tracker of tracking/<config.name>/; its library is imported only here."""
    if config.name == "none":
        return Tracker(config)
    return find_function("create", folder="tracking", name=config.name, setting="tracking.name")(
        config
    )


def run_name(config: Config) -> str:
    """Return a name such as `mlp-lr0.003-7f2a`.

    The last digits distinguish runs with the same settings. They do not come from `random`,
    whose seed is set: each run would get the same digits.
    """
    rate = config.optimizer.learning_rate
    return f"{config.model['name']}-lr{rate:g}-{secrets.token_hex(2)}"

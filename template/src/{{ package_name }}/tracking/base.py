"""A tracker that records nothing, which each back-end overrides."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from ..config import Config, TrackingConfig
from ..errors import ProjectError
from ..rules import ConfigError

log = logging.getLogger(__name__)


class TrackingError(ProjectError):
    """The tracking server or the registry did not do what was asked."""


class RunStatus(StrEnum):
    """How a run ended."""

    finished = "FINISHED"
    failed = "FAILED"
    killed = "KILLED"


@dataclass(frozen=True)
class RegisteredModel:
    """One version of a registered model."""

    name: str
    version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    """What was known of it when it was registered: lineage, bundle version, test metrics."""


class Tracker:
    """Records one run. As a context manager it ends the run: finished, failed or killed.

    Every method may raise a TrackingError, but what is recorded between `start` and `finish` is
    never lost for want of a server.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config

    @property
    def run_id(self) -> str | None:
        """The id of the run; null where none is recorded."""
        return None

    def start(self, run_id: str | None = None) -> Self:
        """Begin a run, or go on with the run `run_id` where the server knows it."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
            return
        try:
            self.finish(RunStatus.failed if isinstance(error, Exception) else RunStatus.killed)
        except TrackingError as second:  # must not hide the first
            log.warning("%s", second)

    def log_config(self, config: Config, *, tags: Mapping[str, str]) -> None:
        """Record the whole configuration, and tags such as the commit and the data's hash."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record `metrics` at the optimiser step `step`. It returns at once."""

    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of `folder` under `name` with the run."""

    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        """End the run."""

    def undelivered(self, run_id: str) -> str | None:
        """Return in a line what a server has not got of a run, and what to do; null if it has."""
        return None

    def register(
        self, model_name: str, *, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        """Return the version of `model_name` that the run's folder `model` now is.

        The run's version with the same tag `bundle_version` where there is one, else a new one.
        """
        raise self._no_registry()

    def champion(self, model_name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        return None

    def promote(self, model: RegisteredModel) -> None:
        """Move the alias `champion` to `model`."""

    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Fetch the bundle of `model` in place of what `folder` holds; return `folder`."""
        raise self._no_registry()

    def _no_registry(self) -> TrackingError:
        return TrackingError(f"tracking={self.config.name} has no registry; choose another tracker")


def create_tracker(config: TrackingConfig) -> Tracker:
    """Return the tracker of tracking/<config.name>.py, which imports its library only now."""
    if config.name == "none":
        return Tracker(config)
    module_name = f"{__package__}.{config.name}"
    if config.name.isidentifier() and find_spec(module_name):
        module = import_module(module_name)
        if hasattr(module, "create"):
            return module.create(config)
    expected = "a file in tracking/ with a function create(), or `none`"
    raise ConfigError(f"tracking.name must be {expected}, got {config.name!r}")

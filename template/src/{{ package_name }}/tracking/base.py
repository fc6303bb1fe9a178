"""A tracker that records nothing, which each back-end overrides."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from ..config import Config, ConfigError, TrackingConfig
from ..errors import ProjectError


class TrackingError(ProjectError):
    """The tracking server or the registry did not do what was asked."""


@dataclass(frozen=True)
class RegisteredModel:
    """One version of a registered model."""

    name: str
    version: str
    run_id: str | None


class Tracker:
    """Records one run. As a context manager it ends the run: finished, or failed on an exception."""

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
        self.finish(failed=error is not None)

    def log_config(self, config: Config, *, tags: Mapping[str, str]) -> None:
        """Record the whole configuration, and tags such as the commit and the data's hash."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record `metrics` at `step`."""

    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of `folder` under `name` with the run."""

    def finish(self, *, failed: bool = False) -> None:
        """End the run."""

    def register(self, model_name: str, *, description: str) -> RegisteredModel:
        """Make the run's bundle, stored as `model`, a new version of a registered model."""
        raise TrackingError(f"tracking={self.config.name} has no model registry; choose tracking=mlflow")

    def champion(self, model_name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        return None

    def promote(self, model: RegisteredModel) -> None:
        """Move the alias `champion` to `model`."""

    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Return the folder of the bundle of `model`, fetched into `folder`."""
        raise TrackingError(f"tracking={self.config.name} has no model registry; choose tracking=mlflow")


def create_tracker(config: TrackingConfig) -> Tracker:
    """Return the tracker of tracking/<config.name>.py, which imports its library only now."""
    if config.name == "none":
        return Tracker(config)
    module_name = f"{__package__}.{config.name}"
    if not config.name.isidentifier() or find_spec(module_name) is None:
        raise ConfigError(f"tracking.name must be a file in tracking/ or `none`, got {config.name!r}")
    tracker: Tracker = import_module(module_name).create(config)
    return tracker

"""W&B's registry: a version is one of an artifact of the project, linked to the organisation's."""

import logging
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from ...artifacts import new_folder
from ...config import TrackingConfig
from ..base import Tracker
from ..registry import RegisteredModel, Registry
from .local_registry import ALIAS, LocalRegistry
from .mode import one_line, recordings, translated
from .tracker import MODEL, WandbTracker

# isort: split
import wandb
from wandb.errors import CommError

log = logging.getLogger(__name__)

REGISTRY = "wandb-registry-model"


class WandbRegistry(Registry):
    """The models of a project on the server."""

    def __init__(self, config: TrackingConfig) -> None:
        self._project = config.experiment

    @cached_property
    def _api(self) -> wandb.Api:
        return wandb.Api({"project": self._project})

    @translated()
    def register(
        self, name: str, bundle: Path, *, run: Tracker, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        """Return the version of the artifact `name` that the files of `bundle` are.

        Files that were registered before, by whichever run, are the version they were then.
        """
        assert isinstance(run, WandbTracker)
        artifact = run.log_artifact(bundle, name).wait()
        artifact.metadata = dict(tags)
        artifact.description = description
        artifact.save()
        return RegisteredModel(name, artifact.version, dict(tags))

    @translated()
    def champion(self, name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        path = f"{name}:{ALIAS}"
        if not self._api.artifact_exists(path, MODEL):
            return None
        artifact = self._api.artifact(path, MODEL)
        return RegisteredModel(name, artifact.version, artifact.metadata)

    @translated()
    def promote(self, model: RegisteredModel, *, run: Tracker) -> None:
        """Move the alias `champion` to `model`, in the project and in the registry."""
        artifact = self._api.artifact(f"{model.name}:{model.version}", MODEL)
        artifact.aliases = [*artifact.aliases, ALIAS]
        artifact.save()
        try:
            artifact.link(f"{REGISTRY}/{model.name}", [ALIAS])
        except CommError as error:
            log.warning("champion in the project %s only: %s", self._project, one_line(error))

    @translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Fetch the bundle of `model` in place of what `folder` holds; return `folder`."""
        artifact = self._api.artifact(f"{model.name}:{model.version}", MODEL)
        with new_folder(folder) as new:
            artifact.download(str(new))
        return folder


class OfflineRegistry(Registry):
    """Versions and the champion beside offline runs, from which nothing can be read back."""

    def __init__(self) -> None:
        self._local = LocalRegistry(recordings() / "registry")

    @translated()
    def register(
        self, name: str, bundle: Path, *, run: Tracker, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        """Return the version of the model `name` that holds the files of `bundle`."""
        assert isinstance(run, WandbTracker)
        run.log_artifact(bundle, name, description=description, tags=tags)
        return self._local.add(name, bundle, tags)

    @translated()
    def champion(self, name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        return self._local.champion(name)

    @translated()
    def promote(self, model: RegisteredModel, *, run: Tracker) -> None:
        """Move the alias `champion` to `model`; on the server too, once this run is synced."""
        assert isinstance(run, WandbTracker)
        run.log_artifact(self._local.bundle(model), model.name, tags=model.tags, aliases=[ALIAS])
        self._local.promote(model)

    @translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Copy the bundle of `model` in place of what `folder` holds; return `folder`."""
        with new_folder(folder) as new:
            shutil.copytree(self._local.bundle(model), new, dirs_exist_ok=True)
        return folder

"""W&B's registry: versions of a project's artifact, linked to the organisation's registry."""

import json
import logging
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from ...artifacts import new_file, new_folder
from ...config import TrackingConfig
from ..base import Tracker
from ..registry import BUNDLE_VERSION, CHAMPION, RegisteredModel, Registry
from .mode import one_line, recordings, translated
from .tracker import MODEL, WandbTracker

# isort: split
import wandb
from wandb.errors import CommError

log = logging.getLogger(__name__)

REGISTRY = "wandb-registry-model"
BUNDLE, TAGS = "bundle", "tags.json"


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
        """Return the version of the artifact `name` that has the files of `bundle`.

        Files that any run has registered before keep their version.
        """
        assert isinstance(run, WandbTracker)
        artifact = run.log_artifact(bundle, name).wait()
        artifact.metadata = dict(tags)
        artifact.description = description
        artifact.save()
        return RegisteredModel(name, artifact.version, dict(tags))

    @translated()
    def aliased(self, name: str, alias: str) -> RegisteredModel | None:
        path = f"{name}:{alias}"
        if not self._api.artifact_exists(path, MODEL):
            return None
        artifact = self._api.artifact(path, MODEL)
        return RegisteredModel(name, artifact.version, artifact.metadata)

    @translated()
    def promote(self, model: RegisteredModel, *, run: Tracker) -> None:
        """Move the alias `champion` to `model`, in the project and in the registry."""
        artifact = self._api.artifact(f"{model.name}:{model.version}", MODEL)
        artifact.aliases = [*artifact.aliases, CHAMPION]
        artifact.save()
        try:
            artifact.link(f"{REGISTRY}/{model.name}", [CHAMPION])
        except CommError as error:
            log.warning("champion in the project %s only: %s", self._project, one_line(error))

    @translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        artifact = self._api.artifact(f"{model.name}:{model.version}", MODEL)
        with new_folder(folder) as new:
            artifact.download(str(new))
        return folder


class OfflineRegistry(Registry):
    """Versions and the champion, kept beside offline runs, which cannot be read back.

    <model>/v0/bundle/      the files of version v0
    <model>/v0/tags.json    lineage and metrics at the time of registration
    <model>/champion        the name of the version that has the alias
    """

    def __init__(self) -> None:
        self._folder = recordings() / "registry"

    @translated()
    def register(
        self, name: str, bundle: Path, *, run: Tracker, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        assert isinstance(run, WandbTracker)
        run.log_artifact(bundle, name, description=description, tags=tags)
        numbers = sorted(int(path.name[1:]) for path in self._folder.glob(f"{name}/v*"))
        for number in reversed(numbers):
            model = self._model(name, f"v{number}")
            if model.tags.get(BUNDLE_VERSION) == tags.get(BUNDLE_VERSION):
                return model
        version = f"v{numbers[-1] + 1 if numbers else 0}"
        with new_folder(self._folder / name / version) as new:
            shutil.copytree(bundle, new / BUNDLE)
            (new / TAGS).write_text(json.dumps(dict(tags), indent=2), "utf-8")
        return self._model(name, version)

    @translated()
    def aliased(self, name: str, alias: str) -> RegisteredModel | None:
        file = self._folder / name / alias
        return self._model(name, file.read_text("utf-8")) if file.exists() else None

    @translated()
    def promote(self, model: RegisteredModel, *, run: Tracker) -> None:
        """Move the alias `champion` to `model`; on the server too, once this run is synced."""
        assert isinstance(run, WandbTracker)
        run.log_artifact(self._bundle(model), model.name, tags=model.tags, aliases=[CHAMPION])
        with new_file(self._folder / model.name / CHAMPION) as new:
            new.write_text(model.version, "utf-8")

    @translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        with new_folder(folder) as new:
            shutil.copytree(self._bundle(model), new, dirs_exist_ok=True)
        return folder

    def _bundle(self, model: RegisteredModel) -> Path:
        return self._folder / model.name / model.version / BUNDLE

    def _model(self, name: str, version: str) -> RegisteredModel:
        tags = json.loads((self._folder / name / version / TAGS).read_text("utf-8"))
        return RegisteredModel(name, version, tags)

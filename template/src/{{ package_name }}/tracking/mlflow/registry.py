"""MLflow's registry: a version is a folder in `model/` of the run that registered it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...artifacts import replace_folder
from ..base import Tracker
from ..registry import BUNDLE_SHA256, BUNDLE_VERSION, CHAMPION, RegisteredModel, Registry
from .server import connect, tracking_uri, translated
from .tracker import bundle_path

# isort: split
from mlflow.artifacts import download_artifacts


class MlflowRegistry(Registry):
    """The registry of the server, or of the database, that records the runs."""

    def __init__(self) -> None:
        self._client = connect()

    @translated()
    def register(
        self, name: str, bundle: Path, *, run: Tracker, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        run_id = str(run.run_id)
        for version in self._client.search_model_versions(f"run_id = '{run_id}'"):
            same = version.tags.get(BUNDLE_VERSION) == tags.get(BUNDLE_VERSION)
            if version.name == name and same:
                return _registered(version)
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        path = bundle_path(tags[BUNDLE_SHA256])
        self._client.log_artifacts(run_id, str(bundle), path)
        version = self._client.create_model_version(
            name, f"runs:/{run_id}/{path}", run_id, dict(tags), description=description
        )
        return _registered(version)

    @translated()
    def aliased(self, name: str, alias: str) -> RegisteredModel | None:
        for model in self._client.search_registered_models(f"name = '{name}'"):
            if number := model.aliases.get(alias):
                return _registered(self._client.get_model_version(name, number))
        return None

    @translated()
    def promote(self, model: RegisteredModel, *, run: Tracker) -> None:
        self._client.set_registered_model_alias(model.name, CHAMPION, model.version)

    @translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        source = self._client.get_model_version_download_uri(model.name, model.version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as new:
            fetched = download_artifacts(source, dst_path=new, tracking_uri=tracking_uri())
            replace_folder(Path(fetched), folder)
        return folder


def _registered(version: Any) -> RegisteredModel:
    return RegisteredModel(version.name, str(version.version), dict(version.tags))

"""A registry of models in a folder, for where there is no server.

    <model>/v0/bundle/      the files of version v0
    <model>/v0/tags.json    what was known of it when it was registered
    <model>/champion        the name of the version that has the alias

A reader finds all of a version or none of it, whatever is being written meanwhile.
"""

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..registry import RegisteredModel

BUNDLE = "bundle"
TAGS = "tags.json"
ALIAS = "champion"
BUNDLE_VERSION = "bundle_version"


class LocalRegistry:
    """The versions of each model, v0 upwards, and which of them is the champion."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, bundle: Path, tags: Mapping[str, str]) -> RegisteredModel:
        """Return the version with the same tag `bundle_version`, or a new one of these files."""
        numbers = [int(path.name[1:]) for path in self.folder.glob(f"{name}/v*")]
        for number in sorted(numbers, reverse=True):
            model = self._model(name, f"v{number}")
            if model.tags.get(BUNDLE_VERSION) == tags.get(BUNDLE_VERSION):
                return model
        version = f"v{max(numbers, default=-1) + 1}"
        with filled(self.folder / name / version) as new:
            shutil.copytree(bundle, new / BUNDLE)
            (new / TAGS).write_text(json.dumps(dict(tags), indent=2), "utf-8")
        return self._model(name, version)

    def champion(self, name: str) -> RegisteredModel | None:
        """Return the version that has the alias, if there is one."""
        alias = self.folder / name / ALIAS
        return self._model(name, alias.read_text("utf-8")) if alias.exists() else None

    def promote(self, model: RegisteredModel) -> None:
        """Move the alias to `model`."""
        alias = self.folder / model.name / ALIAS
        new = alias.with_suffix(".new")
        new.write_text(model.version, "utf-8")
        new.replace(alias)

    def bundle(self, model: RegisteredModel) -> Path:
        """Return the folder with the files of `model`."""
        return self.folder / model.name / model.version / BUNDLE

    def _model(self, name: str, version: str) -> RegisteredModel:
        tags = json.loads((self.folder / name / version / TAGS).read_text("utf-8"))
        return RegisteredModel(name, version, tags)


@contextmanager
def filled(folder: Path) -> Generator[Path]:
    """Give an empty folder that becomes `folder` at the end; until then there is no such folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".") as parent:
        new = Path(parent, folder.name)
        new.mkdir()
        yield new
        new.rename(folder)

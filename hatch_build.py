"""Put every release of the template into the wheel and the sdist, as a git bundle."""

import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PLACES = {"wheel": "mlscaffold/releases.bundle", "sdist": "src/mlscaffold/releases.bundle"}


class ReleasesHook(BuildHookInterface):
    """Add `releases.bundle` beside the modules; an editable install reads the checkout instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self.scratch = Path(mkdtemp(prefix="mlscaffold-build-"))
        bundle = self._carried() or self._written()
        build_data["force_include"][str(bundle)] = _PLACES[self.target_name]
        if self.target_name == "wheel" and shutil.which("git"):
            index = self._indexed(bundle)
            build_data["force_include"][str(index)] = "mlscaffold/releases.idx"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            shutil.rmtree(self.scratch)

    def _carried(self) -> Path | None:
        """Return the bundle of an unpacked sdist, which has more releases than the files there."""
        bundle = Path(self.root, _PLACES["sdist"])
        return bundle if bundle.is_file() and Path(self.root, "PKG-INFO").is_file() else None

    def _indexed(self, bundle: Path) -> Path:
        sys.path.insert(0, str(Path(self.root, "src")))
        from mlscaffold.rendering.bundle import write_index

        index = self.scratch / "releases.idx"
        write_index(bundle, index)
        return index

    def _written(self) -> Path:
        sys.path.insert(0, str(Path(self.root, "src")))
        from mlscaffold.rendering.bundle import tag_of, write_bundle

        bundle = self.scratch / "releases.bundle"
        write_bundle(Path(self.root), bundle, tag=tag_of(self.metadata.version))
        return bundle

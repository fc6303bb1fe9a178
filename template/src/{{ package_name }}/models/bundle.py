"""A trained model on disk: everything that a prediction needs, and where it came from. No pickle.

model.safetensors   the weights
config.json         model, encoder and spec; the schema's version; the SHA-256 of the other files
lineage.json        code, data, configuration and run that made the model
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load, save

from ..config import MODEL_CONFIGS, ModelConfig
from ..data.spec import DataSpec
from ..data.text import TextEncoder
from ..errors import ProjectError
from .base import Model, build_model

SCHEMA_VERSION = 1
WEIGHTS, CONFIG, LINEAGE = "model.safetensors", "config.json", "lineage.json"


class BundleError(ProjectError):
    """A folder is no bundle, or not the one that was written."""


@dataclass(frozen=True)
class Lineage:
    """Where a model came from, so that a prediction can be traced to its data."""

    git_commit: str | None
    """The project's commit; null outside a repository."""
    git_dirty: bool
    """Whether files differed from that commit."""
    data_hash: str
    """DVC's hash of data/processed, as it stands in dvc.lock."""
    config_hash: str
    """SHA-256 of the settings that make a model: seed, data, model and training."""
    run_id: str | None
    """The tracked run that trained the model."""
    template_version: str | None
    """The release of the project's template."""
    created_at: str
    """ISO 8601, UTC."""

    def tags(self) -> dict[str, str]:
        """Return the fields that are known, as text."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Bundle:
    """A trained model with its encoder, ready to predict."""

    model: Model
    encoder: TextEncoder
    lineage: Lineage

    @property
    def spec(self) -> DataSpec:
        """The shape of the data that the model was made for."""
        return self.model.spec

    @property
    def version(self) -> str:
        """A name for exactly these weights: 12 digits of their SHA-256."""
        return hashlib.sha256(save(self.model.state_dict())).hexdigest()[:12]

    def save(self, folder: Path) -> None:
        """Write the bundle in place of what `folder` holds. It appears there only when complete."""
        new = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        (new / WEIGHTS).write_bytes(save(self.model.state_dict()))
        _write_json(new / LINEAGE, asdict(self.lineage))
        _write_json(new / CONFIG, self._config(new))
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)

    def _config(self, folder: Path) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "model": asdict(self.model.config),
            "encoder": self.encoder.to_dict(),
            "spec": self.spec.to_dict(),
            "sha256": {name: _sha256(folder / name) for name in (WEIGHTS, LINEAGE)},
        }

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the bundle in `folder`, on the CPU, in evaluation mode.

        Raises:
            BundleError: A file is missing, damaged, of another schema version or of other code.
        """
        config = _checked_config(folder)
        try:
            kind = MODEL_CONFIGS.get(config["model"]["name"], ModelConfig)
            model = build_model(kind(**config["model"]), DataSpec.from_dict(config["spec"]))
            model.load_state_dict(load((folder / WEIGHTS).read_bytes()))
            lineage = Lineage(**json.loads((folder / LINEAGE).read_text("utf-8")))
        except (RuntimeError, TypeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise BundleError(f"{folder} does not fit this code ({reason})") from error
        return cls(model.eval(), TextEncoder.from_dict(config["encoder"]), lineage)


def _checked_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        version, hashes = config["schema_version"], config["sha256"]
        damaged = [name for name, digest in hashes.items() if _sha256(folder / name) != digest]
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{folder} is not a bundle ({error}); train a model first") from error
    if version != SCHEMA_VERSION:
        raise BundleError(f"{folder} has schema version {version}, expected {SCHEMA_VERSION}")
    if damaged:
        raise BundleError(f"{folder} is damaged: {', '.join(damaged)} is not what was written")
    return config


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")

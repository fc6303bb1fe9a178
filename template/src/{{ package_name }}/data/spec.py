"""What a model needs to know about a dataset: how rows are encoded and what is predicted."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..config import Config
from ..objectives.base import Objective, objective_class, objective_settings
from ..rules import NAMED, ConfigError, differences, flat, require
from .encoder import Encoder, encoder_class, encoder_settings

SPEC_JSON, SETTINGS_JSON = "spec.json", "settings.json"
ENCODER = "encoder"
"""The folder of the encoder's own files."""


@dataclass(frozen=True)
class DataSpec:
    """An encoder and an objective that were fitted to the same training split."""

    encoder: Encoder
    objective: Objective

    def to_dict(self) -> dict[str, Any]:
        """Return both as JSON values."""
        return {"encoder": self.encoder.to_dict(), "objective": self.objective.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """Return the spec from the values that `to_dict` returned, and the encoder's files.

        Raises:
            ConfigError: The values do not describe a spec.
        """
        for name in ("encoder", "objective"):
            require(NAMED.holds(values.get(name)), name, NAMED.expected, values.get(name))
        encoder, objective = values["encoder"], values["objective"]
        return cls(
            encoder_class(encoder["name"]).from_saved(encoder, files),
            objective_class(objective["name"]).from_dict(objective),
        )

    def save(self, folder: Path) -> None:
        """Write spec.json and the encoder's files."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=2)
        (folder / SPEC_JSON).write_text(text + "\n", "utf-8")
        for name, content in self.encoder.files().items():
            (folder / ENCODER).mkdir(exist_ok=True)
            (folder / ENCODER / name).write_bytes(content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the spec that `save` wrote."""
        files = {path.name: path.read_bytes() for path in sorted((folder / ENCODER).glob("*"))}
        return cls.from_dict(json.loads((folder / SPEC_JSON).read_text("utf-8")), files)


def save_settings(folder: Path, config: Config) -> None:
    """Write the settings that the data in `folder` depends on to settings.json."""
    (folder / SETTINGS_JSON).write_text(json.dumps(_settings(config), indent=2) + "\n", "utf-8")


def check_settings(folder: Path, config: Config) -> None:
    """Raise a ConfigError that names the settings changed since `save_settings`.

    They took effect when the data was written, so a new value would be ignored.
    """
    path = folder / SETTINGS_JSON
    made_with = json.loads(path.read_text("utf-8")) if path.exists() else _settings(config)
    if differing := differences(made_with, _settings(config)):
        raise ConfigError(
            f"{folder} was made with {', '.join(differing)}; "
            "run `preprocess` with the same settings first, or `make repro` for all"
        )


def _settings(config: Config) -> dict[str, str]:
    """Return what the data depends on, except where the rows come from."""
    data = asdict(config.data) | {"encoder": asdict(encoder_settings(config.data.encoder))}
    del data["name"], data["path"]
    return flat({"data": data, "objective": asdict(objective_settings(config.objective))})

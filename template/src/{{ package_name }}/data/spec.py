"""What a model must know about the data, and nothing more."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

SPEC_JSON = "spec.json"


@dataclass(frozen=True)
class DataSpec:
    """The shape of one example and the names of the classes."""

    task: str
    """What an input is: `text`."""
    labels: tuple[str, ...]
    """Names of the classes, in the order of the logits."""
    num_embeddings: int
    """Token ids lie in [0, num_embeddings), frequent ones first; 0 is padding."""
    max_length: int
    """Tokens of the longest input."""

    @property
    def num_classes(self) -> int:
        """The number of labels."""
        return len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the spec that `to_dict` described."""
        shape: dict[str, Any] = {**values, "labels": tuple(values["labels"])}
        return cls(**shape)

    def save(self, folder: Path) -> None:
        """Write spec.json."""
        (folder / SPEC_JSON).write_text(json.dumps(self.to_dict(), indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the spec that spec.json holds."""
        return cls.from_dict(json.loads((folder / SPEC_JSON).read_text("utf-8")))

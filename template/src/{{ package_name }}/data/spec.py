"""What a model must know about the data, and nothing more."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..rules import AT_LEAST_ONE, Rule, check, typed

SPEC_JSON = "spec.json"
TASK = Rule("text", lambda task: task == "text")
LABELS = Rule(
    "two or more names that differ",
    lambda labels: len(labels) >= 2 and all(labels) and len(set(labels)) == len(labels),
)


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

    def __post_init__(self) -> None:
        check(
            "spec",
            self,
            task=TASK,
            labels=LABELS,
            num_embeddings=AT_LEAST_ONE,
            max_length=AT_LEAST_ONE,
        )

    @property
    def num_classes(self) -> int:
        """The number of labels."""
        return len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Return the spec that `to_dict` described.

        Raises:
            ConfigError: It described none.
        """
        spec = typed("spec", cls, values)
        return replace(spec, labels=tuple(spec.labels))

    def save(self, folder: Path) -> None:
        """Write spec.json."""
        (folder / SPEC_JSON).write_text(json.dumps(self.to_dict(), indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the spec that spec.json holds."""
        return cls.from_dict(json.loads((folder / SPEC_JSON).read_text("utf-8")))

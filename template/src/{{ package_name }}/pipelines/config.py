"""The settings of the pipeline: its image, and the resources of each step."""

import re
import sys
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated

from ..config import Config
from ..rules import Checked, Name, NonNegativeInt, Rule, check, require

CPU = Rule(
    "cores such as 2, 0.5 or 500m",
    lambda value: re.fullmatch(r"\d+(\.\d+)?|\d+m", str(value)) is not None,
)
MEMORY = Rule(
    "bytes such as 512Mi or 4Gi",
    lambda value: re.fullmatch(r"\d+([KMGTPE]i?)?", str(value)) is not None,
)


@dataclass(frozen=True)
class StepConfig:
    """The resources of a step; null falls back to `pipeline.default`, then to the cluster."""

    cpu: Annotated[str | int | float, CPU] | None = None
    """Request and limit of cores: `2`, `500m`."""
    memory: Annotated[str | int, MEMORY] | None = None
    """Request and limit of memory in bytes: `4Gi`."""
    accelerator: str | None = None
    """The resource name of a device, such as `nvidia.com/gpu`."""
    num_accelerators: NonNegativeInt | None = None
    """How many of them; none by default."""
    retries: NonNegativeInt | None = None
    """How often a failed step is retried; never by default."""
    caching: bool | None = None
    """Skip the step if its image, command, settings and inputs equal those of an earlier run."""

    def check(self, section: str) -> None:
        """Raise a ConfigError if a value cannot be used."""
        check(self, section)
        named = not self.num_accelerators or self.accelerator
        require(bool(named), f"{section}.accelerator", "named, as nvidia.com/gpu", self.accelerator)

    def over(self, default: "StepConfig") -> "StepConfig":
        """Return `default`, overridden by the values that are not null here."""
        return replace(default, **{k: v for k, v in asdict(self).items() if v is not None})


@dataclass(frozen=True)
class PipelineSection(Checked, section="pipeline"):
    """The pipeline on Kubernetes."""

    image: Name = "project:latest"
    """The image of pipelines/Dockerfile; use one tag per commit, so that caching is correct."""
    secret: str = ""
    """A Kubernetes secret that becomes environment variables of every step; empty for none."""
    secret_keys: list[str] = field(default_factory=list)
    """The keys of `secret`, which are the variables' names."""
    default: StepConfig = field(default_factory=StepConfig)
    """The resources of a step that is not in `steps`."""
    steps: dict[str, StepConfig] = field(default_factory=dict)
    """The resources of a step, by its name in dvc.yaml."""

    def __post_init__(self) -> None:
        super().__post_init__()
        keys_named = bool(self.secret) == bool(self.secret_keys)
        require(keys_named, "pipeline.secret_keys", "the keys of a secret", self.secret_keys)
        self.default.check("pipeline.default")
        for name in self.steps:
            self.of(name).check(f"pipeline.steps.{name}")

    def of(self, step: str) -> StepConfig:
        """Return the resources of a step."""
        return self.steps.get(step, StepConfig()).over(self.default)


@dataclass(frozen=True)
class PipelineConfig(Config):
    """The whole configuration and the pipeline's, as configs/pipeline.yaml composes it."""

    pipeline: PipelineSection = field(default_factory=PipelineSection)


def given_overrides() -> list[str]:
    """Return the overrides on the command line, without those of the pipeline itself."""
    return [given for given in sys.argv[1:] if not given.lstrip("+~").startswith("pipeline.")]

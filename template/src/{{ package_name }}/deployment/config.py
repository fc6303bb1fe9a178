"""The settings of what a platform asks of the server."""

from dataclasses import dataclass, field
from typing import Annotated

from ..rules import Checked, Name, Rule, typed
from ..serving.config import ServeConfig


@dataclass(frozen=True)
class ShadowConfig(Checked, section="deployment.shadow"):
    """A challenger, whose answers are compared with those of the model and never sent."""

    model: Name | None = None
    """A bundle's folder, or `challenger` for the registry's version with that alias; null for
    none."""
    share: Annotated[float, Rule("in (0, 1]", lambda share: 0 < share <= 1)] = 0.1
    """The share of batches that it gets; those that come while it is busy are left out."""


@dataclass(frozen=True)
class DeploymentConfig(Checked, section="deployment"):
    """What a platform asks of the server."""

    signature_key: str | None = None
    """A PEM file with a public key; bundles that its private key has not signed are refused."""
    otlp_endpoint: str | None = None
    """The address of an OpenTelemetry collector for traces, as `http://localhost:4318`."""
    shadow: ShadowConfig = field(default_factory=ShadowConfig)
    """What runs beside the model."""


def settings(config: ServeConfig) -> DeploymentConfig:
    """Return the settings of configs/deployment/.

    Raises:
        ConfigError: One of them is unknown, or its value cannot be used.
    """
    return typed("deployment", DeploymentConfig, config.deployment)

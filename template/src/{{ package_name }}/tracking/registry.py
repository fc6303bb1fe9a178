"""The interface of a model registry, which each back-end implements."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import TrackingConfig
from ..lookup import find_function
from .base import Tracker, TrackingError

if TYPE_CHECKING:
    from ..models.bundle import Bundle

CHAMPION = "champion"
"""The alias of the version that is served."""
BUNDLE_VERSION = "bundle_version"
"""The tag that identifies a bundle that was registered before."""
BUNDLE_SHA256 = "bundle_sha256"
"""The tag with the hash of all its files."""


@dataclass(frozen=True)
class RegisteredModel:
    """One version of a registered model."""

    name: str
    version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    """Lineage, bundle version and test metrics at the time of registration."""


class Registry(ABC):
    """Versions of models, of which one may be the champion.

    Every method may raise a TrackingError.
    """

    @abstractmethod
    def register(
        self, name: str, bundle: Path, *, run: Tracker, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        """Return the version of the model `name` that holds the files of `bundle`.

        That is the run's version with the same tag `bundle_version`, if there is one, or a new one.
        The tags are those of `Bundle.tags`, and others.
        """

    @abstractmethod
    def aliased(self, name: str, alias: str) -> RegisteredModel | None:
        """Return the version with the alias, if there is one."""

    def champion(self, name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        return self.aliased(name, CHAMPION)

    @abstractmethod
    def promote(self, model: RegisteredModel, *, run: Tracker) -> None:
        """Move the alias `champion` to `model`."""

    @abstractmethod
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Replace `folder` with the bundle of `model`; return `folder`."""

    def load(
        self, model: RegisteredModel, read: "Callable[[Path], Bundle] | None" = None
    ) -> "Bundle":
        """Return the bundle of `model`, which `read`, or `Bundle.load`, reads from its files.

        Raises:
            BundleError: It is not the bundle that was registered.
        """
        from ..models.bundle import Bundle, BundleError, private_copy

        name = f"version {model.version} of {model.name}"
        with private_copy(name) as copy:
            bundle = replace((read or Bundle.load)(self.download(model, copy)), folder=None)
        hashes = {BUNDLE_VERSION: bundle.version, BUNDLE_SHA256: bundle.sha256}
        if any(model.tags.get(name, value) != value for name, value in hashes.items()):
            raise BundleError(f"{name} is not the model that was registered")
        return bundle


def create_registry(config: TrackingConfig) -> Registry:
    """Return the registry of tracking/<config.name>/; its library is imported only here.

    Raises:
        TrackingError: `tracking.name` is `none`.
    """
    if config.name == "none":
        raise TrackingError("tracking=none has no registry; choose another tracker")
    create = find_function(
        "create_registry", folder="tracking", name=config.name, setting="tracking.name"
    )
    return create(config)

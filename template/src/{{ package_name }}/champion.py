"""The model that the registry calls champion, as a bundle here."""

from pathlib import Path

from .models.bundle import Bundle, BundleError
from .tracking.registry import RegisteredModel, Registry

CHAMPIONS = Path("models/champion")


def load_champion(registry: Registry, champion: RegisteredModel) -> Bundle:
    """Return the bundle of a registered version, fetched into models/champion/.

    Raises:
        BundleError: It is not the bundle that was registered.
    """
    bundle = Bundle.load(registry.download(champion, CHAMPIONS / champion.version))
    hashes = {"bundle_version": bundle.version, "bundle_sha256": bundle.sha256}
    if any(champion.tags.get(name, value) != value for name, value in hashes.items()):
        raise BundleError(
            f"version {champion.version} of {champion.name} is not the model that was registered"
        )
    return bundle

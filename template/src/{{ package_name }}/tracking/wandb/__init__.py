"""Runs and models in Weights & Biases: with an account, or offline in the folder wandb/."""

from ...config import TrackingConfig
from ..base import Tracker
from ..registry import Registry


def create(config: TrackingConfig) -> Tracker:
    """Return a tracker that records one run, online or offline as W&B is set up."""
    from .mode import is_online
    from .tracker import OfflineTracker, WandbTracker

    return WandbTracker(config) if is_online() else OfflineTracker(config)


def create_registry(config: TrackingConfig) -> Registry:
    """Return the registry of the server, or the one beside offline runs."""
    from .mode import is_online
    from .registry import OfflineRegistry, WandbRegistry

    return WandbRegistry(config) if is_online() else OfflineRegistry()

"""Runs and models in MLflow: on the server that MLFLOW_TRACKING_URI names, else in mlflow.db.

What a run records goes to its journal, and from there to MLflow by a process of its own: once a
run has begun, no server delays or ends it. What is left then is delivered by the next run, or by
`python -m <package>.tracking.mlflow.replay`.
"""

from ...config import TrackingConfig
from ..base import Tracker
from ..registry import Registry


def create(config: TrackingConfig) -> Tracker:
    """Return a tracker that records one run."""
    from .tracker import MlflowTracker

    return MlflowTracker(config)


def create_registry(config: TrackingConfig) -> Registry:
    """Return MLflow's registry."""
    from .registry import MlflowRegistry

    return MlflowRegistry(config)

"""Runs and models in MLflow: on the server that MLFLOW_TRACKING_URI names, else in mlflow.db.

The process that trains appends what it records to a journal on this disk (tracker.py), and another
one sends that to MLflow (delivery.py): once a run has begun, no server delays or ends it. The next
run delivers what is left, and so does `python -m <package>.tracking.mlflow.delivery`.
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

    return MlflowRegistry()

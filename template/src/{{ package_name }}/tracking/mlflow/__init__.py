"""Runs and models in MLflow: on the server that MLFLOW_TRACKING_URI names, else in mlflow.db.

The training process appends records to a journal on disk (tracker.py), and a second process sends
them to MLflow (delivery.py): once a run has begun, a server cannot delay or end it. The next run
delivers what is left, and so does `python -m <package>.tracking.mlflow.delivery`.
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

"""Prediction logs as a server makes them."""

from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from toy_project.monitoring.config import MonitoringConfig
from toy_project.monitoring.log import PredictionLog


def make_log(
    folder: Path | str, registry: CollectorRegistry | None = None, **settings: Any
) -> PredictionLog:
    """Return a log in a folder, with these settings."""
    config = MonitoringConfig(folder=str(folder), **settings)
    return PredictionLog(config, registry or CollectorRegistry())

"""Connects to the MLflow that records this project's runs, and shortens its errors to a line."""

import logging
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..base import TrackingError

# Read when MLflow is imported. By default it retries a dead server for four minutes, and prints
# the server's URI with its password.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # a traceback for each error
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each retry

SQLITE = "sqlite:///"


def connect() -> MlflowClient:
    """Return a client of the server or the database that records this project's runs.

    Raises:
        TrackingError: The address is not valid. No request is sent to a server yet.
    """
    file = database()
    if file and file.exists() and not _is_database(file):  # MLflow would retry for minutes
        raise TrackingError(f"{file} is not a SQLite database; move it out of the way")
    try:
        return MlflowClient(tracking_uri(), tracking_uri())
    except Exception as error:  # each database has a driver with exceptions of its own
        raise TrackingError(_explain(error)) from error


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the database in this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"


def shown_uri() -> str:
    """Return the tracking URI without a password."""
    return _without_password(tracking_uri())


def database() -> Path | None:
    """Return the file of the SQLite database that records the runs, if one does."""
    path = tracking_uri().partition("?")[0]
    return Path(path.removeprefix(SQLITE)).resolve() if path.startswith(SQLITE) else None


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^\s/]*@", "", text)


@contextmanager
def translated() -> Generator[None]:
    """Turn what MLflow and the connection raise into one line without the URI's password."""
    try:
        yield
    except (MlflowException, OSError, ImportError) as error:
        raise TrackingError(_explain(error)) from error


def _explain(error: Exception) -> str:
    message = " ".join(str(error).split())
    if re.match(r"API request to .* failed with (timeout )?exception", message):
        way_out = "start it, or unset MLFLOW_TRACKING_URI to record in mlflow.db"
        return f"no answer from the tracking server {shown_uri()}; {way_out}"
    return f"MLflow at {shown_uri()}: {_without_password(message)[:300]}"

"""The MLflow that records this project's runs: where it is, and what it says, in one line."""

import logging
import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from sqlite3 import Error as SQLiteError
from typing import TypeVar

from .base import TrackingError
from .sqlite import SCHEME, database_of

# Read when MLflow is imported. It would ask a dead server again for four minutes, and print the
# server's URI with its password.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from sqlalchemy.exc import SQLAlchemyError

T = TypeVar("T")
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each new try

DEFAULT_URI = "sqlite:///mlflow.db"
MISSING = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the database in this folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def without_password(text: str) -> str:
    """Return `text` without the user and password of URIs in it."""
    return re.sub(r"(?<=://)[^\s/]*@", "", text)


def place(uri: str) -> str:
    """Return the store's name: the same from each folder, and without a password."""
    return f"{SCHEME}{database_of(uri)}" if uri.startswith(SCHEME) else without_password(uri)


@contextmanager
def translated() -> Generator[None]:
    """Turn what MLflow and the connection raise into one line without the URI's password."""
    try:
        yield
    except (MlflowException, OSError, ImportError, SQLAlchemyError, SQLiteError) as error:
        raise TrackingError(_explain(error)) from error


def _explain(error: Exception) -> str:
    uri = without_password(tracking_uri())
    message = " ".join(str(error).split())
    if re.match(r"API request to .* failed with (timeout )?exception", message):
        way_out = "start it, or unset MLFLOW_TRACKING_URI to record in mlflow.db"
        return f"no answer from the tracking server {uri}; {way_out}"
    return f"MLflow at {uri}: {without_password(message)[:300]}"


@translated()
def require_answer() -> None:
    """Ask the server for anything.

    Raises:
        TrackingError: It does not answer.
    """
    MlflowClient(tracking_uri(), tracking_uri()).search_experiments(max_results=1)


def unless_missing(ask: Callable[[], T]) -> T | None:
    """Return the answer, or null where there is no such thing."""
    try:
        return ask()
    except MlflowException as error:
        if error.error_code == MISSING:
            return None
        raise

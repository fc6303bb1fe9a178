"""The MLflow that records this project's runs: where it is, and what it says, in one line."""

import logging
import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ..base import TrackingError

# Read when MLflow is imported. It would ask a dead server again for four minutes, and print the
# server's URI with its password.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from sqlalchemy.exc import SQLAlchemyError

T = TypeVar("T")
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # a traceback for each error
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each new try

SCHEME = "sqlite:///"
DEFAULT_URI = f"{SCHEME}mlflow.db"
MISSING = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the database in this folder.

    Raises:
        TrackingError: The file is no SQLite database, for which MLflow would wait for minutes.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    if uri.startswith(SCHEME) and (database := database_of(uri)).is_file():
        with database.open("rb") as file:
            if file.read(16) not in (b"", b"SQLite format 3\0"):
                raise TrackingError(f"{database} is no SQLite database; move it out of the way")
    return uri


def database_of(uri: str) -> Path:
    """Return the file of a SQLite database."""
    return Path(uri.removeprefix(SCHEME).partition("?")[0]).resolve()


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
    except (MlflowException, OSError, ImportError, SQLAlchemyError) as error:
        raise TrackingError(_explain(error)) from error


def _explain(error: Exception) -> str:
    uri = without_password(os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI)
    message = " ".join(str(error).split())
    if re.match(r"API request to .* failed with (timeout )?exception", message):
        way_out = "start it, or unset MLFLOW_TRACKING_URI to record in mlflow.db"
        return f"no answer from the tracking server {uri}; {way_out}"
    return f"MLflow at {uri}: {without_password(message)[:300]}"


def unless_missing(ask: Callable[[], T]) -> T | None:
    """Return the answer, or None where there is no such thing."""
    try:
        return ask()
    except MlflowException as error:
        if error.error_code == MISSING:
            return None
        raise

"""Whether W&B is online or offline, and its errors as one line."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..base import TrackingError

# Read when wandb is imported. By default it prints banners, asks for a key, reports its crashes,
# keeps the files of offline runs in the home folder, and waits 90 s for a dead server.
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_DIR", ".")
os.environ.setdefault("WANDB_DATA_DIR", f"{os.environ['WANDB_DIR']}/wandb")
os.environ.setdefault("WANDB_INIT_TIMEOUT", "30")

import wandb
from wandb.errors import UsageError

OFFLINE = "record offline with WANDB_MODE=offline"


def recordings() -> Path:
    """Return the folder of recorded runs: `wandb` in WANDB_DIR or in the current folder."""
    return Path(os.environ["WANDB_DIR"], "wandb")


def is_online() -> bool:
    """Return whether runs go to the server: unless WANDB_MODE or `wandb offline` says offline.

    Raises:
        TrackingError: There is no API key. The user is not prompted for one.
    """
    if os.environ.get("WANDB_MODE") == "disabled":
        raise TrackingError("WANDB_MODE=disabled records nothing; set tracking=none, or unset it")
    with translated():
        try:
            return bool(wandb.login(verify=False))
        except UsageError as error:
            ways_out = f"run `wandb login`, set WANDB_API_KEY, or {OFFLINE}"
            raise TrackingError(f"there is no key for Weights & Biases: {ways_out}") from error


@contextmanager
def translated() -> Generator[None]:
    """Turn what wandb and the connection raise into one line."""
    try:
        yield
    except (wandb.Error, OSError, ValueError) as error:
        raise TrackingError(_explain(error)) from error


def one_line(error: Exception) -> str:
    """Return the error's text as one line of limited length."""
    return " ".join(str(error).split())[:300]


def _explain(error: Exception) -> str:
    message = one_line(error)
    if re.search("deadline exceeded|giving up|timed out", message, re.IGNORECASE):
        return f"no answer from Weights & Biases; try again, or {OFFLINE}"
    return f"Weights & Biases: {message}"

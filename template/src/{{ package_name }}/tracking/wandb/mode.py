"""How W&B is reached, and what it says, in one line."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..base import TrackingError

# Read when wandb is imported. It would print banners, ask for a key, report its own crashes, keep
# the files of offline runs in the home folder, and wait a minute and a half for a dead server.
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_DIR", ".")
os.environ.setdefault("WANDB_DATA_DIR", f"{os.environ['WANDB_DIR']}/wandb")
os.environ.setdefault("WANDB_INIT_TIMEOUT", "30")

import wandb
from wandb.errors import UsageError

OFFLINE = "record offline with WANDB_MODE=offline"


def recordings() -> Path:
    """Return the folder of runs that were recorded here: `wandb` in WANDB_DIR, or in this one."""
    return Path(os.environ["WANDB_DIR"], "wandb")


def is_online() -> bool:
    """Return whether WANDB_MODE or `wandb offline` leaves it at online, and there is a key.

    Raises:
        TrackingError: There is no key; nothing was asked, of the user or of the server.
    """
    if os.environ.get("WANDB_MODE") == "disabled":
        raise TrackingError("WANDB_MODE=disabled records nothing; set tracking=none, or unset it")
    try:
        with translated():
            return bool(wandb.login(verify=False))
    except TrackingError as error:
        if not isinstance(error.__cause__, UsageError):
            raise
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

"""The state of a training run on disk, so that it can go on after an interruption."""

import logging
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from ..errors import ProjectError

log = logging.getLogger(__name__)

LAST, BEST = "last.pt", "best.pt"


class CheckpointError(ProjectError):
    """A checkpoint is missing, unreadable or from another configuration."""


@dataclass(frozen=True)
class Checkpoint:
    """A trainer's state and what it belongs to."""

    trainer: dict[str, Any]
    """What `Trainer.state_dict` returned."""
    fingerprint: str
    """The hash of the configuration and the data, and the number of processes."""
    run_id: str | None
    """The tracked run to go on with."""

    def save(self, path: Path) -> None:
        """Write the checkpoint; a crash leaves the one before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            torch.save(vars(self), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the checkpoint at `path`, its tensors on the CPU.

        Raises:
            CheckpointError: It is missing or unreadable.
        """
        try:
            return cls(**torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, EOFError, TypeError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(f"checkpoint {path} cannot be read: {reason}") from error


def find_checkpoint(resume: str, folder: Path, *, fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint to go on from, or null to start anew.

    `auto` takes the last one in `folder` where it belongs to this configuration and data; `never`
    takes none; anything else is a path.

    Raises:
        CheckpointError: The named checkpoint is unreadable or belongs to something else.
    """
    if resume == "never" or (resume == "auto" and not (folder / LAST).exists()):
        return None
    path = folder / LAST if resume == "auto" else Path(resume)
    checkpoint = Checkpoint.load(path)
    if checkpoint.fingerprint == fingerprint:
        return checkpoint
    if resume == "auto":
        log.info("%s is of another configuration, data or num_workers: starting anew", path)
        return None
    raise CheckpointError(f"checkpoint {path} is of another configuration, data or num_workers")


def forget(folder: Path) -> None:
    """Delete the last checkpoint: what it belongs to is complete, or begins anew."""
    (folder / LAST).unlink(missing_ok=True)

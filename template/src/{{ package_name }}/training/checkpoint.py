"""The state of a training run on disk, from which it resumes after any interruption.

A checkpoint is a file of torch.save, loaded without unpickling code. Its last bytes are the SHA-256
of the rest, so that damage is found before anything is loaded.
"""

import hashlib
import io
import logging
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ..artifacts import new_file
from ..config import Config
from ..errors import ProjectError
from ..lineage import made_by
from ..rules import differences, flat
from .distributed import world_size

log = logging.getLogger(__name__)

DIGEST_SIZE = hashlib.sha256().digest_size
START_AGAIN = 'start again with `make train ARGS="resume=never"`'
CONTINUE = 'continue with `make train ARGS="resume_changed=true"`'


class CheckpointError(ProjectError):
    """A checkpoint is missing, damaged, of another configuration, or cannot be written."""


@dataclass(frozen=True)
class Checkpoint:
    """A trainer's state and what it belongs to."""

    trainer: dict[str, Any]
    """What `Trainer.state_dict` returned."""
    settings: dict[str, str]
    """What `settings_of` returned."""
    run_id: str | None
    """The tracked run to continue."""

    @property
    def step(self) -> int:
        """The optimizer step after which it was made."""
        return self.trainer["progress"]["step"]

    @property
    def best_step(self) -> int:
        """The step after which the weights were the best of its run so far; 0 if none were."""
        return self.trainer["progress"]["best_step"]

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically: a file of that name is always complete.

        Raises:
            OSError: It cannot be written; no file is left.
        """
        content = io.BytesIO()
        torch.save(vars(self), content)
        with new_file(path) as new, new.open("wb") as file:
            file.write(content.getbuffer())
            file.write(hashlib.sha256(content.getbuffer()).digest())
            file.flush()
            os.fsync(file.fileno())
        _flush_folder(path.parent)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the checkpoint at `path`, its tensors on the CPU.

        It needs twice the file's size in memory, since what is hashed is what is loaded.

        Raises:
            CheckpointError: It is missing or damaged.
        """
        try:
            content = path.read_bytes()
            body = memoryview(content)[:-DIGEST_SIZE]
            if hashlib.sha256(body).digest() != content[-DIGEST_SIZE:]:
                raise CheckpointError(f"checkpoint {path} is damaged: its SHA-256 is another")
            return cls(**torch.load(io.BytesIO(body), map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(f"checkpoint {path} cannot be read: {reason}") from error


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of an unfinished run: those of the last steps, and the best.

    After a run has finished, only the best is kept, as best.pt.
    """

    folder: Path

    def steps(self) -> list[Path]:
        """Return the files, sorted by step."""
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, checkpoint: Checkpoint, *, keep: int) -> None:
        """Write the checkpoint, and delete all but the best and the last `keep`.

        Raises:
            OSError: It cannot be written. Existing checkpoints are kept.
        """
        path = self._path(checkpoint.step)
        checkpoint.save(path)
        # Those of later steps are damaged, else training would have resumed from them.
        done = [other for other in self.steps() if other <= path]
        self._delete_except(*done[-keep:], self._path(checkpoint.best_step))

    def load(self, step: int) -> Checkpoint | None:
        """Return the checkpoint of a step, or `None` if it is missing or damaged."""
        try:
            return Checkpoint.load(self._path(step))
        except CheckpointError:
            return None

    def newest(self) -> tuple[Path, Checkpoint] | None:
        """Return the newest checkpoint that is not damaged, or `None`; log those that are."""
        for path in reversed(self.steps()):
            try:
                return path, Checkpoint.load(path)
            except CheckpointError as error:
                log.warning("%s: taking the one before", error)
        return None

    def restart_from(self, source: Path, checkpoint: Checkpoint) -> Path:
        """Replace all by the checkpoint at `source` and the best of its run, from the same folder.

        Return the new path of the checkpoint.
        """
        best = Checkpoints(source.parent).load(checkpoint.best_step)
        run = {self._path(one.step): one for one in (best, checkpoint) if one}
        for path, one in run.items():
            one.save(path)
        self._delete_except(*run)
        return self._path(checkpoint.step)

    def complete(self, best_step: int) -> None:
        """Keep only the best, as best.pt, after the run has finished."""
        best = self._path(best_step)
        self._delete_except(best)
        if best.exists():
            best.replace(self.folder / "best.pt")

    def clear(self) -> None:
        """Delete all checkpoints, as those of another run."""
        if self.folder.exists():
            self.folder.mkdir(exist_ok=True)  # raises if it is a file
        self._delete_except()

    def _delete_except(self, *kept: Path) -> None:
        for path in (*sorted(self.folder.glob("*.pt")), *self.folder.glob(".*.new")):
            if path not in kept:
                path.unlink()

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:010d}.pt"


def find_checkpoint(
    config: Config,
    kept: Checkpoints,
    settings: Mapping[str, str],
    weights: Mapping[str, Tensor],
    *,
    starts_over: bool = False,
) -> tuple[Path, Checkpoint] | None:
    """Return the checkpoint that `config.resume` selects, or `None` to start a new run.

    With `starts_over`, `resume=auto` starts a new run if settings, data or weights differ.

    Raises:
        CheckpointError: The named checkpoint is damaged; settings or data have changed since, and
            `config.resume_changed` does not say to continue; or its weights are not those of this
            model.
    """
    if config.resume == "never":
        return None
    if config.resume == "auto":
        found = kept.newest()
    else:
        found = Path(config.resume), Checkpoint.load(Path(config.resume))
    if found is None:
        return None
    path, checkpoint = found
    others = differences(_shapes(checkpoint.trainer["model"]), _shapes(weights))[:3]
    hint = START_AGAIN if others else f"{START_AGAIN}; {CONTINUE}"
    if not config.resume_changed:
        others = differences(checkpoint.settings, settings) or others
    if not others:
        return found
    reason = f"{path} was trained with {', '.join(others)}"
    if starts_over and config.resume == "auto":
        log.warning("%s; training starts again", reason)
        return None
    raise CheckpointError(f"{reason}; {hint}")


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: str(list(tensor.shape)) for name, tensor in weights.items()}


def settings_of(config: Config, *, data_hash: str) -> dict[str, str]:
    """Return all that a run's result depends on, by name."""
    # The hash identifies the data, regardless of where it came from.
    return flat(made_by(config) | {"data": data_hash, "processes": world_size()})


def _flush_folder(folder: Path) -> None:
    """Sync the folder, so that a rename survives a power failure; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

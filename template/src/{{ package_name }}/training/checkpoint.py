"""The state of a training run on disk, from which it resumes after any interruption.

A checkpoint is a file of torch.save, loaded without unpickling code. Its last bytes are the SHA-256
of the rest, so that damage is found before anything is loaded.
"""

import hashlib
import io
import logging
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ..artifacts import new_file
from ..config import Config
from ..errors import ProjectError
from ..rules import differences, flat
from .distributed import world_size

log = logging.getLogger(__name__)

BEST = "best.pt"
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
    def is_best(self) -> bool:
        """Whether its weights are the best of its run so far."""
        return self.trainer["progress"]["best_step"] == self.step

    def save(self, path: Path) -> None:
        """Write the checkpoint in one step: whatever happens, a file of that name is whole.

        Raises:
            OSError: It cannot be written, and is not there.
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
    """The checkpoints of a run: those of the last steps, and the best, another name of a step's."""

    folder: Path

    @property
    def best(self) -> Path:
        """The one with the best weights."""
        return self.folder / BEST

    def steps(self) -> list[Path]:
        """Return the checkpoints of the last steps, the newest at the end."""
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, checkpoint: Checkpoint, *, keep: int) -> None:
        """Write the checkpoint, and delete all but the last `keep`.

        Raises:
            OSError: It cannot be written. Those that were there still are.
        """
        path = self._path(checkpoint)
        checkpoint.save(path)
        self.name_best(path, checkpoint)
        steps = self.steps()
        num_done = steps.index(path) + 1
        # Those of later steps were damaged, else training would have resumed from them.
        for other in (*steps[: max(0, num_done - keep)], *steps[num_done:]):
            other.unlink()

    def name_best(self, path: Path, checkpoint: Checkpoint) -> None:
        """Give the checkpoint at `path` its second name, if it is the best of its run so far.

        A crash may have come before it had that name.
        """
        if not checkpoint.is_best:
            return
        with new_file(self.best) as new:
            new.unlink(missing_ok=True)  # what a crash left may be a name of another checkpoint
            try:
                os.link(path, new)
            except OSError:  # a file can have only one name here
                shutil.copyfile(path, new)
        _flush_folder(self.folder)

    def forget_steps(self, *, but: Path | None = None) -> None:
        """Delete those of steps, as when the run that they belong to is complete."""
        for path in (*self.steps(), *self.folder.glob(".*.new")):
            if path != but:
                path.unlink()

    def forget(self) -> None:
        """Delete all: they belong to another run."""
        self.forget_steps()
        self.best.unlink(missing_ok=True)

    def restart_from(self, source: Path, checkpoint: Checkpoint) -> Path:
        """Make the checkpoint at `source` the only one of a step; return where it lies now.

        Where that is another folder, the best of its run is the one that lies beside it.
        """
        path = self._path(checkpoint)
        checkpoint.save(path)
        self.forget_steps(but=path)
        if source.parent.resolve() != self.folder.resolve():
            self.best.unlink(missing_ok=True)
            if best := Checkpoints(source.parent).load_best():
                best.save(self.best)
        self.name_best(path, checkpoint)
        return path

    def load_best(self) -> Checkpoint | None:
        """Return the one with the best weights; None where it is missing or damaged."""
        try:
            return Checkpoint.load(self.best)
        except CheckpointError:
            return None

    def newest(self) -> tuple[Path, Checkpoint] | None:
        """Return the newest that is whole, and say which are not; None where there is none.

        The best stands in where no other is left of a run that is not complete.
        """
        steps = self.steps()
        for path in (*reversed(steps), *([self.best] if steps else [])):
            try:
                return path, Checkpoint.load(path)
            except CheckpointError as error:
                log.warning("%s: taking the one before", error)
        return None

    def _path(self, checkpoint: Checkpoint) -> Path:
        return self.folder / f"step-{checkpoint.step:010d}.pt"


def find_checkpoint(
    config: Config,
    kept: Checkpoints,
    settings: Mapping[str, str],
    weights: Mapping[str, Tensor],
    *,
    starts_over: bool = False,
) -> tuple[Path, Checkpoint] | None:
    """Return the checkpoint that `config.resume` says to continue from, or None to start again.

    With `starts_over`, `resume=auto` starts again where it finds other settings, data or weights.

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
    settings = asdict(config)
    names = ("seed", "model", "objective", "optimizer", "schedule", "training")
    parts = {name: settings[name] for name in names}
    return flat(parts) | {"processes": str(world_size()), "data": data_hash}


def _flush_folder(folder: Path) -> None:
    """Make what was renamed in the folder survive a power failure; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

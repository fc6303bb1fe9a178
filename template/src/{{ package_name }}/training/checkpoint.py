"""The state of a training run on disk, so that it can go on after any interruption.

A checkpoint is a file of torch.save's, loaded without unpickling code, with the SHA-256 of all that
comes before it at its end: a bit that has flipped is found before anything is made of it.
"""

import hashlib
import io
import logging
import os
import pickle
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ..config import Config, differences, flat
from ..errors import ProjectError
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
    """The tracked run to go on with."""

    @property
    def step(self) -> int:
        """The optimiser step after which it was made."""
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
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                file.write(content.getbuffer())
                file.write(hashlib.sha256(content.getbuffer()).digest())
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
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
    """The checkpoints of a run: the last few steps', newest last, and the best."""

    folder: Path

    @property
    def best(self) -> Path:
        """The one with the best weights: another name of a step's."""
        return self.folder / BEST

    def steps(self) -> list[Path]:
        """Return those of the last steps, the newest at the end."""
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, checkpoint: Checkpoint, *, keep: int) -> None:
        """Write the checkpoint, and delete all but the last `keep`.

        Raises:
            OSError: It cannot be written. Those that were there still are.
        """
        path = self._path(checkpoint.step)
        checkpoint.save(path)
        if checkpoint.is_best:
            self._name_best(path)
        steps = self.steps()
        num_done = steps.index(path) + 1
        # Those of later steps were damaged, else training would have gone on from them.
        for other in (*steps[: max(0, num_done - keep)], *steps[num_done:]):
            other.unlink()

    def forget(self) -> None:
        """Delete all: they belong to another run."""
        self.best.unlink(missing_ok=True)
        self.forget_steps()

    def forget_steps(self, *, but: Path | None = None) -> None:
        """Delete those of steps, as when the run that they belong to is complete."""
        for path in (*self.steps(), *self.folder.glob("*.new")):
            if path != but:
                path.unlink()

    def restart_from(self, source: Path, checkpoint: Checkpoint) -> Path:
        """Make the checkpoint at `source` the only one of a step; return where it lies now.

        Where that is another folder, the best of its run is the one that lies beside it.
        """
        path = self._path(checkpoint.step)
        checkpoint.save(path)
        self.forget_steps(but=path)
        if source.parent.resolve() != self.folder.resolve():
            self.best.unlink(missing_ok=True)
            with suppress(CheckpointError):
                Checkpoint.load(source.with_name(BEST)).save(self.best)
        self.complete(path, checkpoint)
        return path

    def complete(self, path: Path, checkpoint: Checkpoint) -> None:
        """Name the best where a crash came after its checkpoint, and before it had that name."""
        if checkpoint.is_best and self.best_step() != checkpoint.step:
            self._name_best(path)

    def best_step(self) -> int | None:
        """Return the step of the best weights; null where they are missing or damaged."""
        try:
            return Checkpoint.load(self.best).step
        except CheckpointError:
            return None

    def newest(self) -> tuple[Path, Checkpoint] | None:
        """Return the newest that is whole, and say which are not; null where there is none.

        The best stands in where no other is left of a run that is not complete.
        """
        steps = self.steps()
        for path in (*reversed(steps), *([self.best] if steps else [])):
            try:
                return path, Checkpoint.load(path)
            except CheckpointError as error:
                log.warning("%s: taking the one before", error)
        return None

    def _name_best(self, path: Path) -> None:
        """Give the checkpoint at `path` its second name; a copy where a file can have only one."""
        new = self.best.with_suffix(".new")
        new.unlink(missing_ok=True)
        try:
            os.link(path, new)
        except OSError:
            shutil.copyfile(path, new)
        new.replace(self.best)
        _flush_folder(self.folder)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:010d}.pt"


def find_checkpoint(
    config: Config,
    folder: Path,
    *,
    data_hash: str,
    weights: Mapping[str, Tensor],
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
        found = Checkpoints(folder).newest()
    else:
        found = Path(config.resume), Checkpoint.load(Path(config.resume))
    if found is None:
        return None
    path, checkpoint = found
    ways = [START_AGAIN]
    changed = differences(_shapes(checkpoint.trainer["model"]), _shapes(weights))[:3]
    if not config.resume_changed:
        settings = differences(checkpoint.settings, settings_of(config, data_hash=data_hash))
        ways += [] if changed else [CONTINUE]
        changed = settings or changed
    if not changed:
        return found
    reason = f"{path} was trained with {', '.join(changed)}"
    if starts_over and config.resume == "auto":
        log.warning("%s; training starts again", reason)
        return None
    raise CheckpointError("; ".join((reason, *ways)))


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: str(list(tensor.shape)) for name, tensor in weights.items()}


def settings_of(config: Config, *, data_hash: str) -> dict[str, str]:
    """Return all that a run's result depends on, by name."""
    settings = asdict(config)
    parts = {
        name: settings[name]
        for name in ("seed", "model", "objective", "optimizer", "schedule", "training")
    }
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

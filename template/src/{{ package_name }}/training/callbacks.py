"""Callbacks of the training loop: progress, history, tracking, checkpoints, signals."""

import csv
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from torch.profiler import profile, schedule
from tqdm import tqdm

from ..artifacts import new_file
from ..config import OnSaveError
from ..lookup import find_class
from ..rules import ConfigError, require
from ..tracking.base import Tracker
from .checkpoint import Checkpoint, CheckpointError, Checkpoints
from .distributed import from_all, rank, world_size
from .trainer import Callback, Trainer

log = logging.getLogger(__name__)


class ProgressBar(Callback):
    """A bar on a terminal, and a line per evaluation everywhere."""

    def on_fit_start(self, trainer: Trainer) -> None:
        self._bar = tqdm(
            total=trainer.num_steps,
            initial=trainer.progress.step,
            unit="step",
            leave=False,
            disable=not sys.stderr.isatty(),
        )

    def on_log(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        self._bar.set_postfix_str(f"loss {metrics['train_loss']:.4g}", refresh=False)
        self._bar.update(trainer.progress.step - self._bar.n)

    def on_evaluation(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        shown = dict.fromkeys(("train_loss", "validation_loss", f"validation_{trainer.monitor}"))
        figures = "  ".join(f"{name} {metrics[name]:.4g}" for name in shown)
        with tqdm.external_write_mode():
            log.info("epoch %.4g  %s", trainer.epoch, figures)

    def on_fit_end(self, trainer: Trainer) -> None:
        self._bar.close()


class History(Callback):
    """Writes the metrics of each evaluation as a line of a CSV, which is replaced atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: list[dict[str, str]] = []
        self._is_behind = False

    def on_fit_start(self, trainer: Trainer) -> None:
        """Keep the lines up to the step from which training resumes; none for a new run."""
        if self.path.exists():
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            self._rows = [row for row in rows if int(row["step"]) <= trainer.progress.step]

    def on_evaluation(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        row = {"epoch": f"{trainer.epoch:.6g}", "step": trainer.progress.step, **metrics}
        self._rows.append({name: str(value) for name, value in row.items()})
        try:
            self._write()
        except OSError as error:
            if trainer.config.on_save_error is OnSaveError.stop:
                raise
            self._is_behind = True  # the next line brings this one as well
            log.warning("%s cannot be written: %s; training continues", self.path, error)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Write lines that could not be written before, without hiding an error in training."""
        if self._is_behind:
            with nullcontext() if sys.exception() is None else suppress(OSError):
                self._write()

    def _write(self) -> None:
        with new_file(self.path) as new, new.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._rows[-1], lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
        self._is_behind = False


class Tracking(Callback):
    """Sends logged metrics, and those of each evaluation, to the tracker."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def on_log(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        self.tracker.log_metrics(metrics, step=trainer.progress.step)

    def on_evaluation(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        # The loss and the learning rate were logged at this step already.
        figures = {name: metrics[name] for name in metrics if name.startswith("validation_")}
        self.tracker.log_metrics({"epoch": trainer.epoch, **figures}, step=trainer.progress.step)


class EarlyStopping(Callback):
    """Stops after `patience` evaluations without a better monitored metric."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_fit_start(self, trainer: Trainer) -> None:
        trainer.should_stop = trainer.progress.num_worse >= self.patience

    def on_evaluation(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        if trainer.progress.num_worse >= self.patience:
            step = trainer.progress.best_step
            log.info("no better validation_%s since step %d: stopping", trainer.monitor, step)
            trainer.should_stop = True


class Checkpointing(Callback):
    """Saves the state after evaluations, or more often. Every rank has to call it."""

    def __init__(
        self, checkpoints: Checkpoints, *, settings: Mapping[str, str], run_id: str | None
    ) -> None:
        self.checkpoints = checkpoints
        self.settings = dict(settings)
        self.run_id = run_id

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.is_evaluation_due or trainer.is_due(trainer.config.checkpoint_every_n_steps):
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write the state after this step.

        Raises:
            CheckpointError: It cannot be written, and `training.on_save_error` is `stop`.
        """
        checkpoint = Checkpoint(trainer.state_dict(), self.settings, self.run_id)
        if rank() > 0:
            return
        try:
            self.checkpoints.save(checkpoint, keep=trainer.config.keep_checkpoints)
        except OSError as error:
            message = f"the checkpoint of step {checkpoint.step} cannot be written: {error}"
            if trainer.config.on_save_error is OnSaveError.stop:
                raise CheckpointError(message) from error
            log.warning("%s; training continues", message)


class Interruption(Callback):
    """Saves a checkpoint after the step in which a signal arrives; exits with 128 + its number.

    A second signal ends the process at once. Processes that train together stop after the same
    step, at the next log, and get each signal twice: from the terminal and from their launcher,
    which kills them after half a minute.
    """

    def __init__(self, checkpointing: Checkpointing) -> None:
        self.checkpointing = checkpointing
        self.received = 0
        self._before: dict[int, Any] = {}

    def on_fit_start(self, trainer: Trainer) -> None:
        # A launcher that runs this in a thread gets the signal itself, and ends the process.
        if current_thread() is main_thread():
            signals = (signal.SIGTERM, signal.SIGINT)
            self._before = {number: signal.signal(number, self._note) for number in signals}

    def on_step_end(self, trainer: Trainer) -> None:
        if world_size() > 1 and trainer.progress.logged_step < trainer.progress.step:
            return
        if number := max(from_all(self.received)):
            self.checkpointing.save(trainer)
            sys.exit(128 + number)

    def on_fit_end(self, trainer: Trainer) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if world_size() == 1:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


class Profiling(Callback):
    """Traces some steps with torch.profiler into a file that chrome://tracing and Perfetto show."""

    def __init__(self, path: Path | str, num_steps: int) -> None:
        self.path = Path(path)
        self.num_steps = num_steps

    def on_fit_start(self, trainer: Trainer) -> None:
        self.path.unlink(missing_ok=True)
        self._profiler = profile(
            schedule=schedule(wait=2, warmup=1, active=self.num_steps, repeat=1),
            on_trace_ready=self._write,
        )
        self._profiler.start()

    def on_step_end(self, trainer: Trainer) -> None:
        self._profiler.step()

    def on_fit_end(self, trainer: Trainer) -> None:
        self._profiler.stop()
        if not self.path.exists():
            log.warning("no trace: training took fewer than %d steps", self.num_steps + 3)

    def _write(self, profiler: profile) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(self.path))
        log.info("%s: a trace of at most %d steps", self.path, self.num_steps)


def chosen_callbacks(chosen: Sequence[Any]) -> list[Callback]:
    """Return the callbacks that `training.callbacks` names.

    Raises:
        ConfigError: There is no such callback, or it does not take these arguments.
    """
    return [_chosen({"name": one} if isinstance(one, str) else one) for one in chosen]


def _chosen(entry: Any) -> Callback:
    is_named = isinstance(entry, dict) and isinstance(entry.get("name"), str)
    require(is_named, "training.callbacks", "names, or mappings with a name", entry)
    name = entry["name"]
    kind = globals().get(name)
    if not (isinstance(kind, type) and issubclass(kind, Callback)):
        kind = find_class(Callback, folder="training", name=name, setting="training.callbacks")
    try:
        return kind(**{key: value for key, value in entry.items() if key != "name"})
    except TypeError as error:
        raise ConfigError(f"training.callbacks: {error}") from error

"""What watches the training loop: progress, history, tracking, checkpoints, early stopping."""

import csv
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from ..tracking.base import Tracker
from .checkpoint import BEST, LAST, Checkpoint
from .distributed import rank
from .trainer import Callback, Trainer

log = logging.getLogger(__name__)


class ProgressBar(Callback):
    """A bar on a terminal, and a line per epoch everywhere."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def on_step_end(self, trainer: Trainer) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=trainer.num_steps,
                initial=trainer.progress.step - 1,
                unit="step",
                leave=False,
                disable=not sys.stderr.isatty(),
            )
        self._bar.update()

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        with tqdm.external_write_mode():
            log.info("epoch %d  %s", trainer.progress.epoch, figures)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.close()


class History(Callback):
    """Writes each epoch's figures as a line of a CSV."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        row = {"epoch": trainer.progress.epoch, "step": trainer.progress.step, **metrics}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        with self.path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            writer.writeheader()
            # An epoch that a crash made us repeat is there already.
            file.writelines(f"{line}\n" for line in before[1 : trainer.progress.epoch])
            writer.writerow(row)


class Tracking(Callback):
    """Sends each epoch's figures to the tracker."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        self.tracker.log_metrics(metrics, step=trainer.progress.epoch)


class Checkpointing(Callback):
    """Keeps the state after the last epoch and after the best one. Every rank has to call it."""

    def __init__(self, folder: Path, *, fingerprint: str, run_id: str | None) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.run_id = run_id

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        checkpoint = Checkpoint(trainer.state_dict(), self.fingerprint, self.run_id)
        if rank() > 0:
            return
        if trainer.progress.best_epoch == trainer.progress.epoch:
            checkpoint.save(self.folder / BEST)
        checkpoint.save(self.folder / LAST)


class EarlyStopping(Callback):
    """Stops when `patience` epochs have passed without a better monitored metric."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_epoch_end(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        progress = trainer.progress
        if progress.epoch - progress.best_epoch >= self.patience:
            log.info("no better epoch since epoch %d: stopping", progress.best_epoch)
            trainer.should_stop = True

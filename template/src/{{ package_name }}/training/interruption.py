"""SIGTERM and SIGINT in training: the step is finished, the state is kept, the process ends."""

import signal
import sys
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from .callbacks import Checkpointing
from .distributed import max_over_ranks, world_size
from .trainer import Callback, Trainer

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption(Callback):
    """Saves a checkpoint after the step in which a signal came; exits with 128 + its number.

    A second signal ends the process at once. Processes that train together stop after the same
    step, at the next log, and get each signal twice: from the terminal and from their launcher,
    which ends them after half a minute all the same.
    """

    def __init__(self, checkpointing: Checkpointing) -> None:
        self.checkpointing = checkpointing
        self.received = 0
        self._before: dict[int, Any] = {}

    def on_fit_start(self, trainer: Trainer) -> None:
        # A launcher that runs us in a thread is told itself, and ends it.
        if current_thread() is main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_step_end(self, trainer: Trainer) -> None:
        if world_size() == 1:
            number = self.received
        elif trainer.progress.logged_step == trainer.progress.step:
            number = max_over_ranks(self.received, trainer.device)
        else:
            return
        if number:
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

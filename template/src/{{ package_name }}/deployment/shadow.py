"""A challenger, which predicts a share of the inputs: its answers are compared and never sent."""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from queue import Full, Queue
from random import random
from threading import Thread, get_native_id
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Summary

from ..data.rows import Values
from ..serving.engine import Engine
from ..serving.source import Source, Watcher

if TYPE_CHECKING:
    from ..serving.predictor import Predictor

NICENESS = 19
"""The lowest priority of a thread, so that requests get the processor first (Linux only)."""

log = logging.getLogger(__name__)


class Shadow:
    """Compares a challenger with the model of an engine, in a thread of its own.

    `offer` never waits: what comes while the challenger is busy is dropped.
    """

    def __init__(self, source: Source, engine: Engine, *, share: float) -> None:
        """Take a share of the engine's batches, from when it has loaded its model."""
        engine.compare = self.offer
        engine.parts.append(self)
        registry = engine.registry
        self._share = share
        self._challenger: Predictor | None = None
        self._offered: Queue[Any] = Queue(maxsize=1)
        self._watcher = Watcher(
            source,
            accept=self._accept,
            refuse=self._refuse,
            interval_s=engine.config.watch_interval_s,
        )
        self._inputs = Counter(
            "shadow_inputs", "Inputs of the challenger.", ("outcome",), registry=registry
        )
        self._difference = Summary(
            "shadow_difference", "Of a number from the challenger's.", registry=registry
        )
        self._seconds = Summary(
            "shadow_seconds", "Time of the same batches.", ("model",), registry=registry
        )

    def start(self) -> None:
        """Load the challenger, and compare what is offered from then on."""
        self._watcher.start()
        Thread(target=self._run, name="shadow", daemon=True).start()

    def stop(self) -> None:
        """Look for no other challenger."""
        self._watcher.stop()

    def offer(self, rows: Sequence[Values], ours: Sequence[Any], seconds: float) -> None:
        """Have the challenger predict the rows of a batch too, if chance takes it.

        `ours` are the predictions of the served model, which took so many `seconds`.
        """
        if self._challenger is None or random() >= self._share:
            return
        try:
            self._offered.put_nowait((rows, ours, seconds))
        except Full:
            self._inputs.labels("dropped").inc(len(rows))

    def _run(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)
        while True:
            (rows, ours, seconds), challenger = self._offered.get(), self._challenger
            if challenger is None:
                continue
            started = perf_counter()
            try:
                theirs = challenger.predict(rows)
            except BaseException as error:  # other fields, or a panic in Rust
                self._inputs.labels("failed").inc(len(rows))
                self._refuse(f"model {challenger.version}", error)
                continue
            self._seconds.labels("served").observe(seconds)
            self._seconds.labels("challenger").observe(perf_counter() - started)
            for one, other in zip(ours, theirs, strict=True):
                self._compare(one[0], other[0])

    def _compare(self, one: Any, other: Any) -> None:
        """Compare two predictions: labels by equality, numbers by their difference."""
        numbers, others = _numbers(one), _numbers(other)
        if numbers and numbers.keys() == others.keys():
            self._inputs.labels("compared").inc()
            for name, number in numbers.items():
                self._difference.observe(abs(number - others[name]))
        else:
            self._inputs.labels("agreed" if one == other else "differed").inc()

    def _accept(self, challenger: "Predictor", _: bool) -> None:
        self._challenger = challenger
        log.info("model %s is the challenger, unseen by clients", challenger.version)

    def _refuse(self, name: str, error: BaseException) -> None:
        self._challenger = None
        log.error("%s cannot be the challenger: %s", name, error)


def _numbers(prediction: Any) -> dict[str, float]:
    if isinstance(prediction, float):
        return {"": prediction}
    return prediction if isinstance(prediction, dict) else {}

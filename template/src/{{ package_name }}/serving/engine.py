"""The model behind a server: loaded in a thread, then asked a batch at a time."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..data.rows import Values
from .config import ServingConfig
from .metrics import ServingMetrics

if TYPE_CHECKING:
    from .predictor import Predictor

log = logging.getLogger(__name__)


RETRY_LATER = {"Retry-After": "1"}
"""The headers of a 503; in seconds."""


class UnavailableError(Exception):
    """An input cannot be answered now, but soon."""


class Engine:
    """What a server knows of its model. It is made before there is one."""

    def __init__(self, load: Callable[[], "Predictor"]) -> None:
        self.metrics = ServingMetrics()
        self.error: Exception | None = None
        """Why there will never be a model."""
        self.on_error: Callable[[], None] = lambda: log.error("error: %s", self.error)
        self._load = load
        self._predictor: Predictor | None = None
        self._seconds_per_batch = 0.0

    @property
    def loaded(self) -> bool:
        """Whether there is a model."""
        return self._predictor is not None

    def require_loaded(self) -> "Predictor":
        """Return the model.

        Raises:
            UnavailableError: There is none, or none yet.
        """
        if self._predictor is None:
            raise UnavailableError(
                "the model cannot be loaded" if self.error else "the model is being loaded"
            )
        return self._predictor

    def require_time(self, num_ahead: int, config: ServingConfig) -> None:
        """Check that the model gets to an input in time, if batches take as long as recent ones.

        Raises:
            UnavailableError: With `num_ahead` inputs before it, it would wait too long.
        """
        if num_ahead / config.max_batch_size * self._seconds_per_batch > config.max_wait_s:
            raise UnavailableError(f"the wait would be longer than {config.max_wait_s:g} s")

    async def load(self, executor: Executor | None = None) -> None:
        """Load the model in a thread; where it cannot be loaded, say so to `on_error`."""
        try:
            predictor = await asyncio.get_running_loop().run_in_executor(executor, self._load)
        except Exception as error:
            self.error = error
            self.on_error()
        else:
            self._predictor = predictor
            commit = predictor.bundle.lineage.git_commit or "unknown"
            log.info("model %s of commit %s is ready", predictor.version, commit[:12])

    def predict(self, rows: Sequence[Values]) -> list[dict[str, Any]]:
        """Return an answer for each input, in their order. Not for several threads at once.

        Raises:
            UnavailableError: The model is not loaded yet.
        """
        predictor = self.require_loaded()
        self.metrics.batch_size.observe(len(rows))
        started, answers = perf_counter(), []
        for prediction in predictor.predict(rows):
            self.metrics.count(prediction[0])
            answers.append({**prediction._asdict(), "model_version": predictor.version})
        # The newest batch counts for a half, the one before it for a quarter, and so on.
        self._seconds_per_batch = (self._seconds_per_batch + perf_counter() - started) / 2
        return answers

    def about(self) -> dict[str, Any]:
        """Return which model answers, and where it comes from.

        Raises:
            UnavailableError: It is not loaded yet.
        """
        predictor = self.require_loaded()
        bundle = predictor.bundle
        about = {"model_version": predictor.version, **bundle.spec.objective.about()}
        return about | asdict(bundle.lineage)

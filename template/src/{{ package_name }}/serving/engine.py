"""The model of a server: loaded in a thread, then called for one batch at a time."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException

from ..data.rows import Values
from .config import ServingConfig

if TYPE_CHECKING:
    from .predictor import Predictor

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

log = logging.getLogger(__name__)


class UnavailableError(HTTPException):
    """The server is temporarily unavailable: a 503 with `Retry-After`."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail, headers={"Retry-After": "1"})


class Engine:
    """The model of a server, which starts before the model is loaded."""

    def __init__(self, load: Callable[[], "Predictor"]) -> None:
        self.error: Exception | None = None
        """Why the model cannot be loaded."""
        self.on_error: Callable[[], None] = lambda: log.error("error: %s", self.error)
        self.registry = registry = CollectorRegistry()
        """The metrics of the server, for Prometheus."""
        self._batch_size = Histogram(
            "batch_size", "Inputs predicted together.", buckets=BATCH_BUCKETS, registry=registry
        )
        self._predictions = Counter(
            "predictions", "Inputs that were predicted.", ("label",), registry=registry
        )
        self._load = load
        self._predictor: Predictor | None = None
        self._seconds_per_batch = 0.0

    @property
    def loaded(self) -> bool:
        """Whether the model is loaded."""
        return self._predictor is not None

    def require_loaded(self) -> "Predictor":
        """Return the model.

        Raises:
            UnavailableError: It is not loaded.
        """
        if self._predictor is None:
            raise UnavailableError(
                "the model cannot be loaded" if self.error else "the model is being loaded"
            )
        return self._predictor

    def require_time(self, num_ahead: int, config: ServingConfig) -> None:
        """Check that an input is predicted in time, if batches take as long as recent ones.

        Raises:
            UnavailableError: Behind `num_ahead` other inputs it would wait too long.
        """
        if num_ahead / config.max_batch_size * self._seconds_per_batch > config.max_wait_s:
            raise UnavailableError(f"the wait would be longer than {config.max_wait_s:g} s")

    async def load(self, executor: Executor | None = None) -> None:
        """Load the model in a thread; call `on_error` if that fails."""
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
        """Return an answer for each input, in order. Not thread-safe."""
        predictor = self.require_loaded()
        self._batch_size.observe(len(rows))
        started, answers = perf_counter(), []
        for prediction in predictor.predict(rows):
            label = prediction[0] if isinstance(prediction[0], str) else ""
            self._predictions.labels(label).inc()
            answers.append({**prediction._asdict(), "model_version": predictor.version})
        # The newest batch has a weight of 1/2, the one before it 1/4, and so on.
        self._seconds_per_batch = (self._seconds_per_batch + perf_counter() - started) / 2
        return answers

    def about(self) -> dict[str, Any]:
        """Return the version and the lineage of the model."""
        predictor = self.require_loaded()
        bundle = predictor.bundle
        about = {"model_version": predictor.version, **bundle.spec.objective.about()}
        return about | asdict(bundle.lineage)

"""The model that a server serves: loaded in a thread, then called for one batch at a time."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ..data.rows import Values
from .config import ServingConfig
from .problems import CLIENT_GONE, InvalidError, Reason, UnavailableError
from .schema import Schema

if TYPE_CHECKING:
    from .predictor import Predictor

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
JSON = re.compile(r"application/([^/;]+\+)?json\s*(;.*)?", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Served:
    """A version of the model, with what reads its requests.

    A request is answered by the version that has read it, so that a swap divides neither a request
    nor a batch.
    """

    predictor: "Predictor"
    schema: Schema

    @property
    def version(self) -> str:
        """The `model_version` of its answers."""
        return self.predictor.version


class Engine:
    """The model of a server, which starts before the model is loaded."""

    def __init__(self, load: Callable[[], "Predictor"], config: ServingConfig) -> None:
        self.config = config
        self.current: Served | None = None
        """What reads and answers new requests; `None` until it is loaded."""
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
        self._seconds_per_batch = 0.0
        self._reader = ThreadPoolExecutor(1, "reader")
        self._num_reading = 0

    @property
    def loaded(self) -> bool:
        """Whether a model is loaded."""
        return self.current is not None

    def require_loaded(self) -> Served:
        """Return the model that reads and answers a new request.

        Raises:
            UnavailableError: None is loaded.
        """
        if self.current is None:
            raise UnavailableError(
                "the model cannot be loaded" if self.error else "the model is being loaded"
            )
        return self.current

    async def rows(
        self, request: Request, *, is_batch: bool, num_ahead: int
    ) -> tuple[Served, list[Values]]:
        """Return the rows that a request asks to predict, and the model that must predict them.

        Raises:
            UnavailableError: The model is not loaded, or would not be free in time if batches take
                as long as recent ones and `num_ahead` inputs come first, besides those of requests
                that are being read.
            HTTPException: The request is invalid, or its client has disconnected.
        """
        served = self.require_loaded()
        batches_ahead = (num_ahead + self._num_reading) / self.config.max_batch_size
        if batches_ahead * self._seconds_per_batch > self.config.max_wait_s:
            detail = f"the wait would be longer than {self.config.max_wait_s:g} s"
            raise UnavailableError(detail, Reason.deadline)
        if not JSON.fullmatch(request.headers.get("Content-Type", "")):
            message = "Content-Type must be application/json"
            raise InvalidError([{"type": "json_type", "loc": (), "msg": message}])
        try:
            body = await request.body()
        except ClientDisconnect as error:
            raise HTTPException(CLIENT_GONE, "the client has disconnected") from error
        if served.schema.encoder.row_is_slow:
            return served, await self._slow_rows(served.schema, body, is_batch=is_batch)
        return served, served.schema.rows(body, is_batch=is_batch)

    async def _slow_rows(self, schema: Schema, body: bytes, *, is_batch: bool) -> list[Values]:
        """Return the rows of a body, after those of the bodies that came before it."""
        if self._num_reading >= self.config.max_queue_size:
            raise UnavailableError("too many inputs are waiting", Reason.queue_full)
        deadline = monotonic() + self.config.max_wait_s

        def read() -> list[Values]:
            if monotonic() > deadline:
                detail = f"the wait was longer than {self.config.max_wait_s:g} s"
                raise UnavailableError(detail, Reason.deadline)
            return schema.rows(body, is_batch=is_batch)

        self._num_reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, read)
        finally:
            self._num_reading -= 1

    async def load(self, executor: Executor | None = None) -> None:
        """Load the model in a thread; call `on_error` if that fails."""
        try:
            predictor = await asyncio.get_running_loop().run_in_executor(executor, self._load)
            self.current = Served(predictor, Schema(predictor.spec, self.config))
        except Exception as error:
            self.error = error
            self.on_error()
        else:
            commit = predictor.lineage.git_commit or "unknown"
            log.info("model %s of commit %s is ready", predictor.version, commit[:12])

    def predict(self, served: Served, rows: Sequence[Values]) -> list[dict[str, Any]]:
        """Return the answer of `served` for each row, in order. Not thread-safe."""
        self._batch_size.observe(len(rows))
        started, answers = perf_counter(), []
        for prediction in served.predictor.predict(rows):
            label = prediction[0] if isinstance(prediction[0], str) else ""
            self._predictions.labels(label).inc()
            answers.append({**prediction._asdict(), "model_version": served.version})
        # The newest batch has a weight of 1/2, the one before it 1/4, and so on.
        self._seconds_per_batch = (self._seconds_per_batch + perf_counter() - started) / 2
        return answers

    def about(self) -> dict[str, Any]:
        """Return the version and the lineage of the model."""
        predictor = self.require_loaded().predictor
        about = {"model_version": predictor.version, **predictor.spec.objective.about()}
        return about | asdict(predictor.lineage)

"""The model that a server serves: loaded in a thread, then called for one batch at a time."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from ..data.rows import Values
from .config import ServingConfig
from .problems import Reason, UnavailableError
from .schema import Schema

if TYPE_CHECKING:
    from .predictor import Predictor

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MODEL_THREAD = "model"
"""The name of the thread that calls the model."""

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
        self.is_stopping = False
        """Whether the process was told to end. It still answers requests, so that none is lost."""
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

    def require_ready(self) -> None:
        """Return if a load balancer may send requests.

        Raises:
            UnavailableError: No model is loaded, or the server is stopping.
        """
        self.require_loaded()
        if self.is_stopping:
            raise UnavailableError("the server is stopping", Reason.stopping)

    async def load(self) -> None:
        """Load the model in a thread; call `on_error` if that fails."""
        try:
            predictor = await asyncio.to_thread(self._load)
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
        answers = []
        for prediction in served.predictor.predict(rows):
            label = prediction[0] if isinstance(prediction[0], str) else ""
            self._predictions.labels(label).inc()
            answers.append({**prediction._asdict(), "model_version": served.version})
        return answers

    def about(self) -> dict[str, Any]:
        """Return the version and the lineage of the model."""
        predictor = self.require_loaded().predictor
        about = {"model_version": predictor.version, **predictor.spec.objective.about()}
        return about | asdict(predictor.lineage)

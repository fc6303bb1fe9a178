"""The model that a server serves, and how another takes its place while requests are answered."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from threading import Lock, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.exceptions import HTTPException

from ..data.rows import Values
from ..tracking.base import TrackingError
from .config import ServingConfig
from .problems import Reason, UnavailableError
from .schema import Schema
from .source import Source, Watcher
from .telemetry import Telemetry

if TYPE_CHECKING:
    from .predictor import Predictor

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MODEL_THREAD, LOADER_THREAD = "model", "loader"
"""The names of the threads that call the model, and load the first one."""

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


@dataclass(frozen=True)
class Refused:
    """A version that cannot be served."""

    name: str
    reason: str


class Engine:
    """The model of a server, which starts before the model is loaded.

    A new version is loaded beside the current one and replaces it for the requests that come then.
    The one before it stays in memory, for `rollback`.
    """

    def __init__(self, source: Source, config: ServingConfig) -> None:
        self.config = config
        self.current: Served | None = None
        """What reads and answers new requests; `None` until it is loaded."""
        self.previous: Served | None = None
        """What was served before."""
        self.pinned = False
        """Whether no newer version is served until `reload`."""
        self.refused: Refused | None = None
        """The newest version, if it cannot be served."""
        self.error: Exception | None = None
        """Why the model cannot be loaded."""
        self.is_stopping = False
        """Whether the process was told to end. It still answers requests, so that none is lost."""
        self.on_error: Callable[[], None] = lambda: log.error("error: %s", self.error)
        self.refusal: Callable[[], UnavailableError | None] = lambda: None
        """Returns why a request to predict would be refused, before anything of it is read."""
        self.observe: Callable[[Any], Any] = lambda app: app
        """Wraps the app that leaves the rows and the answers of a request in its scope."""
        self.compare: Callable[[Sequence[Values], Sequence[Any], float], None] | None = None
        """Takes the rows of a batch, their predictions, and the seconds that these took."""
        self.probes = {"/health", "/ready"}
        """Paths that only report a state. Those that a server has besides are added."""
        self.registry = registry = CollectorRegistry()
        """The metrics of the server, for Prometheus."""
        self.telemetry = Telemetry(config, registry)
        self._batch_size = Histogram(
            "batch_size", "Inputs predicted together.", buckets=BATCH_BUCKETS, registry=registry
        )
        self._predictions = Counter(
            "predictions", "Inputs that were predicted.", ("label",), registry=registry
        )
        self._versions = Gauge(
            "model_info",
            "1 for the versions that are current, previous and refused.",
            ("state", "model_version"),
            registry=registry,
        )
        self._loads = Counter("model_loads", "Models loaded.", ("outcome",), registry=registry)
        self._watcher = Watcher(
            source, accept=self._swap, refuse=self._refuse, interval_s=config.watch_interval_s
        )
        self.parts: list[Any] = [self._watcher]
        """What starts when the model is loaded, and stops with the server."""
        self._changing = Lock()

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
        """Load the model in a thread, and watch for another; call `on_error` if it cannot be."""
        try:
            await _in_a_daemon_thread(partial(self._watcher.look, always=True))
        except Exception as error:
            self._refuse(self.config.model, error)
        if self.current:
            for part in self.parts:
                part.start()

    def close(self) -> None:
        """Look for no other model."""
        for part in self.parts:
            part.stop()

    def reload(self) -> None:
        """Load the newest version, even if it was refused, or another is pinned.

        Raises:
            UnavailableError: No model is loaded yet, or the registry does not answer.
            HTTPException: The version cannot be served; the current one stays, pinned if it was.
        """
        self.require_loaded()
        try:
            self._watcher.look(always=True)
        except TrackingError as error:
            raise UnavailableError(str(error)) from error
        if self.refused:
            raise HTTPException(409, f"{self.refused.name} is refused: {self.refused.reason}")

    def rollback(self) -> None:
        """Serve the version that was served before, and none that is newer until `reload`.

        Raises:
            UnavailableError: No model is loaded yet.
            HTTPException: There is no version before the current one.
        """
        current = self.require_loaded()
        with self._changing:
            if self.previous is None:
                raise HTTPException(409, f"no model was served before {current.version}")
            self.current, self.previous, self.pinned = self.previous, None, True
            log.warning("model %s is served again and pinned", self.current.version)
            self._count("rolled_back")

    def _swap(self, predictor: "Predictor", always: bool) -> None:
        new = Served(predictor, Schema(predictor.spec, self.config))
        commit = predictor.lineage.git_commit or "unknown"
        with self._changing:
            old, self.refused = self.current, None
            if old and self.pinned and not always:
                log.warning("model %s waits for a reload: %s is pinned", new.version, old.version)
                outcome = "waits"
            else:
                self.current, self.pinned = new, False
                if old and old.version != new.version:
                    self.previous = old
                log.info("model %s of commit %s is ready", new.version, commit[:12])
                outcome = "served"
            self._count(outcome)

    def _refuse(self, name: str, error: Exception) -> None:
        if self.current is None:
            self.error = error
            self.on_error()
            return
        with self._changing:
            version, reason = self.current.version, " ".join(str(error).split())
            self.refused = Refused(name, reason)
            log.error("%s is refused, model %s stays: %s", name, version, reason)
            self._count("refused")

    def _count(self, outcome: str) -> None:
        self._loads.labels(outcome).inc()
        self._versions.clear()
        for state, served in (("current", self.current), ("previous", self.previous)):
            if served:
                self._versions.labels(state, served.version).set(1)
        if self.refused:
            self._versions.labels("refused", self.refused.name).set(1)

    def predict(self, served: Served, rows: Sequence[Values]) -> list[dict[str, Any]]:
        """Return the answer of `served` for each row, in order. Not thread-safe."""
        self._batch_size.observe(len(rows))
        started = perf_counter()
        predictions = served.predictor.predict(rows)
        seconds, answers = perf_counter() - started, []
        for prediction in predictions:
            label = prediction[0] if isinstance(prediction[0], str) else ""
            self._predictions.labels(label).inc()
            answers.append({**prediction._asdict(), "model_version": served.version})
        if self.compare:
            self.compare(rows, predictions, seconds)
        return answers

    def about(self) -> dict[str, Any]:
        """Return the version and the lineage of the model, and what became of other versions."""
        predictor = self.require_loaded().predictor
        return {
            "model_version": predictor.version,
            "precision": predictor.precision,
            **predictor.spec.objective.about(),
            **asdict(predictor.lineage),
            "previous_version": self.previous.version if self.previous else None,
            "pinned": self.pinned,
            "refused": asdict(self.refused) if self.refused else None,
        }


async def _in_a_daemon_thread(load: Callable[[], None]) -> None:
    """Call it in a thread that does not keep the process alive, as those of `to_thread` do.

    A registry that does not answer may be waited for for minutes.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def work() -> None:
        error = None
        try:
            load()
        except BaseException as raised:  # a panic in Rust is no Exception
            error = raised if isinstance(raised, Exception) else RuntimeError(repr(raised))
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, error)

    Thread(target=work, name=LOADER_THREAD, daemon=True).start()
    await done

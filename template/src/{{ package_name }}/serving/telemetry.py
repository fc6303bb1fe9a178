"""What a server tells about itself: metrics for Prometheus, and logs with request ids."""

import json
import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .config import LogFormat, ServingConfig
from .problems import Reason, RefusedError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REQUEST_ID = b"x-request-id"
WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""A request id that is taken over from a client or proxy."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered, which JSON logs and its answer have."""

log = logging.getLogger(__name__)


class Telemetry:
    """The metrics of requests, and their spans where traces are collected."""

    def __init__(self, config: ServingConfig, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "http_requests", "Requests answered.", ("path", "status"), registry=registry
        )
        self.latency = Histogram(
            "http_request_duration_seconds",
            "From the request's head to the end of the answer.",
            ("path",),
            buckets=SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "http_requests_refused", "Requests refused, by reason.", ("reason",), registry=registry
        )
        self.queue_time = Histogram(
            "queue_duration_seconds",
            "From a request's body to the start of its batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self.model_time = Histogram(
            "model_duration_seconds", "Of a batch.", buckets=SECONDS, registry=registry
        )
        self.is_json = config.log_format is LogFormat.json
        self.logs_requests = self.is_json if config.access_log is None else config.access_log
        self._of_refused: dict[tuple[str, int, Reason], tuple[Counter, Counter]] = {}
        self.tracing: Any = None
        """Makes the spans."""

    def record_wait(self, queued_at: float, started_at: float, ended_at: float) -> None:
        """Record when a request, that of this task, was queued and its batch predicted."""
        self.queue_time.observe(started_at - queued_at)
        if self.tracing:
            self.tracing.add_span("queue", queued_at, started_at)
            self.tracing.add_span("model", started_at, ended_at)

    def count_refused(self, path: str, error: RefusedError) -> None:
        """Count a request that was refused before the app has seen it."""
        key = path, error.status_code, error.reason
        if key not in self._of_refused:  # `labels` takes longer than the rest of a refusal
            requests = self.requests.labels(path, error.status_code)
            self._of_refused[key] = requests, self.refused.labels(error.reason)
        for counter in self._of_refused[key]:
            counter.inc()


class NamedRoute(Route):
    """A route of Starlette by whose path requests are counted, as by those of a framework."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return how it matches, and what it adds to the scope."""
        match, added = super().matches(scope)
        return match, {**added, "route": self}


class RequestTelemetry:
    """ASGI middleware, outside all others, that gives each request an id and records it."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self._telemetry = telemetry
        self._series: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._ids = _unguessable_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started_at, status = perf_counter(), 500
        given = b"".join(value for name, value in scope["headers"] if name == REQUEST_ID)
        id_ = given if WELL_FORMED.fullmatch(given) else next(self._ids)
        request_id.set(id_.decode())  # of this request alone, which has a task of its own

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (REQUEST_ID, id_)]
                message = {**message, "headers": headers}
            await send(message)

        tracing = self._telemetry.tracing
        with nullcontext() if tracing is None else tracing.of_request(scope) as span:
            try:
                await self.app(scope, receive, observed)
            finally:
                # The route, not the URL: a client must not be able to make new time series.
                path = getattr(scope.get("route"), "path", "unknown")
                self._record(scope, path, status, perf_counter() - started_at)
                if span:
                    span.update_name(f"{scope['method']} {path}")
                    span.set_attributes({"http.route": path, "http.response.status_code": status})

    def _record(self, scope: Scope, path: str, status: int, seconds: float) -> None:
        telemetry = self._telemetry
        if (path, status) not in self._series:
            series = telemetry.requests.labels(path, status), telemetry.latency.labels(path)
            self._series[path, status] = series
        requests, latency = self._series[path, status]
        requests.inc()
        latency.observe(seconds)
        if reason := scope.get("reason"):
            telemetry.refused.labels(reason).inc()
        if telemetry.logs_requests:
            fields = {
                "method": scope["method"],
                "path": scope["raw_path"].decode("ascii", "replace"),
                "status": status,
                "duration_ms": round(seconds * 1000, 3),
            }
            log.info("%(method)s %(path)s %(status)d in %(duration_ms)s ms", fields)


def _unguessable_ids() -> Iterator[bytes]:
    """Yield ids of 32 digits. To ask the system for the randomness of each takes longer."""
    while True:
        digits = secrets.token_hex(16 * 256).encode()
        yield from (digits[start : start + 32] for start in range(0, len(digits), 32))


class JsonFormatter(logging.Formatter):
    """A line of JSON for each record, with the id of the request that it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if id_ := request_id.get():
            document["request_id"] = id_
        if isinstance(record.args, dict):
            document |= record.args
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)

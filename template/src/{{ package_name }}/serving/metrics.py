"""Figures of a running server, for Prometheus."""

from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServingMetrics:
    """The figures of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests", "Requests answered.", ("path", "status"), registry=registry
        )
        self.latency = Histogram(
            "http_request_duration_seconds",
            "From the request's head to the end of the answer.",
            ("path",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.batch_size = Histogram(
            "batch_size", "Inputs predicted together.", buckets=BATCH_BUCKETS, registry=registry
        )
        self.predictions = Counter(
            "predictions", "Inputs that were predicted.", ("label",), registry=registry
        )

    def count(self, prediction: Any) -> None:
        """Count a prediction, by its label if it is one."""
        self.predictions.labels(prediction if isinstance(prediction, str) else "").inc()

    def render(self) -> bytes:
        """Return the figures as Prometheus reads them."""
        return generate_latest(self.registry)


class RequestMetrics:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: ServingMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status, started = 500, perf_counter()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            # The route, not the URL: a client must not be able to make new time series.
            path = getattr(scope.get("route"), "path", "unknown")
            self.metrics.requests.labels(path, status).inc()
            self.metrics.latency.labels(path).observe(perf_counter() - started)

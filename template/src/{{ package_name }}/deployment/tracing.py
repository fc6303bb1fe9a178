"""Traces of requests, for OpenTelemetry."""

import os
from contextlib import AbstractContextManager
from time import monotonic, time
from typing import Any

from starlette.types import Scope

from ..rules import ConfigError
from ..serving.telemetry import request_id


class Tracing:
    """Spans of requests, sent to a collector of OpenTelemetry in the background.

    The environment variables of its SDK, as OTEL_SERVICE_NAME or OTEL_TRACES_SAMPLER, are followed.
    """

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            hint = "run `uv sync --group tracing`"
            raise ConfigError(f"deployment.otlp_endpoint needs OpenTelemetry; {hint}") from error
        name = os.environ.get("OTEL_SERVICE_NAME", __name__.partition(".")[0])
        provider = TracerProvider(resource=Resource.create({"service.name": name}))
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = provider.get_tracer(__name__)
        self._kind = trace.SpanKind.SERVER
        self._parent_of = TraceContextTextMapPropagator().extract

    def of_request(self, scope: Scope) -> AbstractContextManager[Any]:
        """Return the span of a request, whose parent is that of its header `traceparent`."""
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        return self._tracer.start_as_current_span(
            scope["method"],
            self._parent_of(headers),
            self._kind,
            {"http.request.method": scope["method"], "request.id": request_id.get()},
        )

    def add_span(self, name: str, started_at: float, ended_at: float) -> None:
        """Add a span inside that of this task; its times are those of `time.monotonic`."""
        offset = time() - monotonic()
        start, end = (int((offset + at) * 1e9) for at in (started_at, ended_at))
        self._tracer.start_span(name, start_time=start).end(end)

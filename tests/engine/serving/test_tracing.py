"""Spans of requests go to a collector of OpenTelemetry."""

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .conftest import Serve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server

Span = Any
"""A span as the protocol of OpenTelemetry encodes it, in protobuf."""


@contextmanager
def collector() -> Generator[tuple[str, list[Span]]]:
    """Give the address of a collector of traces, and the spans that it gets."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", spans
        finally:
            server.shutdown()


def test_a_trace_goes_on_in_the_server(serve: Serve, monkeypatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with collector() as (endpoint, spans), serve(f"deployment.otlp_endpoint={endpoint}") as served:
        headers = {"traceparent": f"00-{trace}-{parent}-01"}
        assert served.ask("POST", "/predict", {"text": "cat"}, headers).status == 200
        assert served.ask("GET", "/nothing").status == 404
        served.process.terminate()
        served.process.wait(timeout=30)
    named = {span.name: span for span in spans}
    assert named.keys() == {"POST /predict", "queue", "model", "GET unknown"}
    request, queue, model = named["POST /predict"], named["queue"], named["model"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (trace, parent)
    assert named["GET unknown"].trace_id.hex() != trace
    for child in (queue, model):
        assert (child.trace_id, child.parent_span_id) == (request.trace_id, request.span_id)
    slack = 5_000_000  # ns: two clocks are read one after the other
    assert request.start_time_unix_nano - slack <= queue.start_time_unix_nano
    assert abs(queue.end_time_unix_nano - model.start_time_unix_nano) < slack
    assert model.start_time_unix_nano < model.end_time_unix_nano
    assert model.end_time_unix_nano <= request.end_time_unix_nano + slack
    values = {one.key: one.value for one in request.attributes}
    assert values["http.route"].string_value == "/predict"
    assert values["http.response.status_code"].int_value == 200


def test_opentelemetry_is_imported_only_for_traces_and_may_be_missing(workspace):
    code = """
import sys
from toy_project.compose import read_config
from toy_project.deployment.observer import observe
from toy_project.serving.config import ServeConfig, ServingConfig
from toy_project.serving.engine import Engine
engine = Engine(None, ServingConfig())
observe(engine, read_config(ServeConfig, "serve"))
assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules)
sys.modules["opentelemetry.sdk.trace"] = None
endpoint = "deployment.otlp_endpoint=http://localhost:4318"
observe(engine, read_config(ServeConfig, "serve", [endpoint]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ConfigError: deployment.otlp_endpoint needs OpenTelemetry; run `uv" in done.stderr

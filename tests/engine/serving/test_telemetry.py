"""What a server tells about itself: metrics, logs and traces."""

import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from toy_project.serving.config import LogFormat
from toy_project.serving.telemetry import JsonFormatter

from .conftest import Serve, running, wait_until_ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [("order-17.b_2", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("", False)],
)
def test_a_request_has_an_id(client, given, is_taken):
    for path in ("/health", "/predict", "/nothing"):
        answer = client.post(path, headers={"X-Request-Id": given}, json={})
        id_ = answer.headers["X-Request-Id"]
        assert (id_ == given) is is_taken
        assert is_taken or re.fullmatch("[0-9a-f]{32}", id_)


def test_each_id_is_another(client):
    ids = {client.get("/health").headers["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20


def test_waiting_and_predicting_are_timed(predictor, config):
    with running(lambda: predictor, config) as client:
        wait_until_ready(client)
        for _ in range(3):
            client.post("/predict", json={"text": "a"})
        client.post("/predict", json={"txt": "a"})
        client.get("/metrics", headers={"Host": "elsewhere"})
        lines = client.get("/metrics").text.splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert figures["queue_duration_seconds_count"] == "3.0"
    assert figures["model_duration_seconds_count"] == "3.0"
    assert 0 < float(figures["model_duration_seconds_sum"]) < 3
    assert 0 < float(figures["queue_duration_seconds_sum"]) < 3
    assert figures['http_requests_refused_total{reason="invalid"}'] == "1.0"
    assert figures['http_requests_refused_total{reason="host"}'] == "1.0"


def test_clients_cannot_make_series(predictor, config):
    with running(lambda: predictor, config) as client:
        wait_until_ready(client)
        counts = []
        for number in range(20):
            client.get(f"/{number}", headers={"X-Request-Id": str(number)})
            client.get("/model", headers={"Host": f"host{number}"})
            client.request(f"M{number}", "/predict")
            counts.append(len(client.get("/metrics").text.splitlines()))
    assert counts[2] == counts[-1]


def test_requests_are_counted_by_their_route(predictor, config):
    paths = ["/health", "/predict", "/model/schema"]
    with running(lambda: predictor, config) as client:
        wait_until_ready(client)
        for path in ("/", *paths):
            client.post(path) if path == "/predict" else client.get(path)
        counted = client.get("/metrics").text
    routes = {*re.findall(r'^http_requests_total{path="([^"]*)"', counted, re.MULTILINE)}
    assert routes == {"/ready", "/", *paths}


def test_a_log_of_json_has_the_ids_of_requests(serve: Serve) -> None:
    with serve("serving.log_format=json") as served:
        answer = served.ask("POST", "/predict", {"text": "cat"})
        served.ask("GET", "/no%0Asuch", None)
        served.process.terminate()
        assert served.process.stderr
        lines = [json.loads(line) for line in served.process.stderr]
    one, other = (line for line in lines if line["logger"].endswith("telemetry"))
    assert one["request_id"] == answer.headers["X-Request-Id"] != other["request_id"]
    assert (one["method"], one["path"], one["status"]) == ("POST", "/predict", 200)
    assert 0 < one["duration_ms"] < 10_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", one["time"])
    assert (other["path"], other["status"], other["level"]) == ("/no%0Asuch", 404, "INFO")


def test_a_json_record_has_its_exception_in_one_line():
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.getLogger().makeRecord(
            "a", logging.ERROR, "", 1, "failed", (), sys.exc_info()
        )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ValueError: first\nsecond")


@pytest.mark.parametrize(
    ("log_format", "access_log", "is_logged"),
    [("text", None, False), ("text", True, True), ("json", None, True), ("json", False, False)],
)
def test_requests_are_logged_if_asked_for(
    predictor, config, caplog, log_format, access_log, is_logged
):
    asked = replace(config, log_format=LogFormat(log_format), access_log=access_log)
    with caplog.at_level(logging.INFO), running(lambda: predictor, asked) as client:
        client.get("/health?token=secret")
    own = [record for record in caplog.records if record.name.startswith("toy_project")]
    lines = [line for line in map(logging.LogRecord.getMessage, own) if "GET" in line]
    assert len(lines) == is_logged
    assert all(re.fullmatch(r"GET /health 200 in [\d.]+ ms", line) for line in lines)


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
    with collector() as (endpoint, spans), serve(f"serving.otlp_endpoint={endpoint}") as served:
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


def test_opentelemetry_is_imported_only_for_traces_and_may_be_missing():
    code = """
import sys
from toy_project.serving.config import ServingConfig
from toy_project.serving.engine import Engine
Engine(None, ServingConfig())
assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules)
sys.modules["opentelemetry.sdk.trace"] = None
Engine(None, ServingConfig(otlp_endpoint="http://localhost:4318"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ConfigError: serving.otlp_endpoint needs OpenTelemetry; run `uv sync" in done.stderr

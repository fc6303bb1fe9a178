"""What a server tells about itself: metrics and logs."""

import json
import logging
import re
import sys
from dataclasses import replace

import pytest
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

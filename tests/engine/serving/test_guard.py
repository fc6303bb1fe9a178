"""Who may use the server, and what its answers have in common: real requests."""

import hashlib
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import httpx2
import pytest
from toy_project.errors import ProjectError
from toy_project.serving.config import SecurityConfig, ServingConfig
from toy_project.serving.engine import Engine
from toy_project.serving.predictor import Predictor
from toy_project.serving.source import Source

from ..conftest import has
from .conftest import create_app, running, wait_until_ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server

PROBLEM = "application/problem+json"
SECRET = "a text of the client's, which no answer may repeat"
JSON = {"Content-Type": "application/json"}


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@contextmanager
def guarded(predictor: Predictor, config: ServingConfig) -> Generator[httpx2.Client]:
    """Give a client of a server that is ready, whatever keys it asks for."""
    with running(lambda: predictor, config) as client:
        wait_until_ready(client)
        yield client


def half_sent(client: httpx2.Client, headers: dict[str, str]) -> socket.socket:
    """Return a connection on which the head of a request and a part of its body were sent."""
    host, port = client.base_url.host, client.base_url.port
    connection = socket.create_connection((host, port))
    lines = [f"{name}: {value}\r\n" for name, value in (headers | JSON).items()]
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n{''.join(lines)}\r\n"
    connection.sendall(f'{head}{{"text": '.encode())
    return connection


def assert_problem(answer: httpx2.Response, status: int) -> str:
    """Return the detail of an answer, which must be as RFC 9457 wants it."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert len(answer.content) < 2_000
    assert SECRET not in answer.text
    problem = answer.json()
    assert problem.keys() - {"errors"} == {"type", "title", "status", "detail"}
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    return problem["detail"]


def test_errors_of_the_framework_have_the_format_of_all_others(client):
    assert_problem(client.get(f"/{SECRET}"), 404)
    if has("serving.fastapi"):  # BentoML redirects it to /predict
        assert_problem(client.post("/predict/"), 404)
    wrong_method = client.delete("/predict")
    assert_problem(wrong_method, 405)
    assert "POST" in wrong_method.headers["Allow"]
    assert client.head("/no/such/path").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"text": SECRET * 100},
        {SECRET: "a"},
        {"inputs": [{SECRET: SECRET}] * 30},
        {"text": [SECRET]},
        {"text": "a", SECRET: {SECRET: SECRET}},
    ],
    ids=lambda body: str(len(str(body))),
)
def test_no_answer_repeats_what_a_client_sent(client, body):
    for path in ("/predict", "/predict/batch"):
        assert_problem(client.post(path, json=body), 422)


def test_more_errors_than_fit_are_counted(client):
    answer = client.post("/predict/batch", json={"inputs": [{"x": 1}] * 20})
    listed = len(answer.json()["errors"])
    assert 5 <= listed < 40
    assert assert_problem(answer, 422) == f"the request has 40 errors; {listed} are listed"
    many = client.post("/predict/batch", json={"inputs": [{"x": 1}] * 9_000})
    assert assert_problem(many, 422).startswith("the request has ")


class FailingPredictor(Predictor):
    """Predicts its warm-up, and nothing else."""

    fails = False

    def __init__(self, bundle):
        super().__init__(bundle)
        self.fails = True

    def predict(self, rows):
        if self.fails:
            raise RuntimeError(SECRET)
        return super().predict(rows)


def test_an_error_of_the_server_says_nothing_about_it(bundle, config):
    with guarded(FailingPredictor(bundle), config) as client:
        assert assert_problem(client.post("/predict", json={"text": "a"}), 500)
        assert client.get("/health").status_code == 200


def test_all_answers_have_security_headers(client):
    for answer in (client.get("/health"), client.post("/predict", json={}), client.get("/nothing")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_documentation_is_off_by_default(predictor):
    with guarded(predictor, ServingConfig()) as client:
        for path in ("/docs", "/redoc", "/openapi.json", "/docs.json"):
            assert_problem(client.get(path), 404)


@pytest.mark.parametrize(
    ("name", "status"),
    [("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("evil.example", 421)],
)
def test_a_server_on_loopback_answers_to_names_of_loopback(client, name, status):
    answer = client.get("/model", headers={"Host": name})
    assert answer.status_code == status
    assert client.get("/ready", headers={"Host": name}).status_code == 200
    if status == 421:
        assert "serving.security.allowed_hosts" in assert_problem(answer, status)


def test_the_names_of_a_server(predictor, config):
    named = SecurityConfig(allowed_hosts=["API.example.org", "*.example.com"])
    names = {"api.example.org:80": 200, "a.example.com": 200, "example.com": 421, "localhost": 421}
    with running(lambda: predictor, replace(config, security=named)) as client:
        found = {name: client.get("/metrics", headers={"Host": name}).status_code for name in names}
    assert found == names
    with running(lambda: predictor, replace(config, host="0.0.0.0")) as client:
        assert client.get("/metrics", headers={"Host": "any.example"}).status_code == 200


def test_pages_of_other_sites_get_nothing_unless_they_are_listed(predictor, config):
    listed = SecurityConfig(cors_origins=["https://page.example"])
    with guarded(predictor, replace(config, security=listed)) as client:
        for origin, is_listed in (("https://page.example", True), ("https://evil.example", False)):
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            headers["Access-Control-Request-Headers"] = "traceparent,x-api-key,x-request-timeout"
            ahead = client.options("/predict", headers=headers)
            assert (ahead.status_code == 200) is is_listed
            answer = client.post("/predict", json={}, headers={"Origin": origin})
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == (origin if is_listed else None)


def test_a_request_needs_one_of_the_keys(predictor, config, monkeypatch):
    keys = f"{digest('one')}, {digest('two').upper()} admin"
    monkeypatch.setenv("SERVING_API_KEYS", keys)
    with guarded(predictor, config) as client:
        for headers in ({}, {"X-API-Key": "three"}, {"Authorization": "Basic one"}):
            refused = client.post("/predict", json={"text": "a"}, headers=headers)
            assert "API key" in assert_problem(refused, 401)
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        for headers in ({"X-API-Key": "one"}, {"Authorization": "bearer two"}):
            answer = client.post("/predict", json={"text": "a"}, headers=headers)
            assert answer.status_code == 200
        assert_problem(client.get("/metrics"), 401)
        assert client.get("/health").status_code == 200
        assert_problem(client.post("/admin/x", headers={"X-API-Key": "one"}), 403)
        assert_problem(client.post("/admin/x", headers={"X-API-Key": "two"}), 404)


def test_an_administrator_needs_a_key_even_where_others_need_none(client):
    assert_problem(client.post("/admin/x"), 401)


def test_keys_are_read_again_when_their_file_changes(predictor, config, tmp_path, caplog):
    file = tmp_path / "keys"
    file.write_text(f"# keys of teams\n{digest('old')}  # until May\n")
    security = SecurityConfig(api_keys_file=str(file))
    with guarded(predictor, replace(config, security=security)) as client:

        def status(key: str) -> int:
            return client.get("/model", headers={"X-API-Key": key}).status_code

        assert (status("old"), status("new")) == (200, 401)
        file.write_text(f"\ufeff{digest('new')}\n", "utf-8")  # as an editor on Windows writes it
        time.sleep(1.1)
        assert (status("old"), status("new")) == (401, 200)
        for damage in ("new\n", None):
            file.write_text(damage) if damage else file.unlink()
            time.sleep(1.1)
            assert (status("old"), status("new")) == (401, 200)
            assert caplog.messages[-1].startswith("the API keys stay as they were: ")
        assert "SHA-256" in caplog.messages[-2]


def test_keys_are_read_again_when_their_file_looks_as_old_as_before(predictor, config, tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"{digest('old')}\n")
    security = SecurityConfig(api_keys_file=str(file))
    with guarded(predictor, replace(config, security=security)) as client:
        before = file.stat()
        file.write_text(f"{digest('new')}\n")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        time.sleep(1.1)
        assert client.get("/model", headers={"X-API-Key": "old"}).status_code == 401
        assert client.get("/model", headers={"X-API-Key": "new"}).status_code == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
def test_keys_are_read_again_when_their_file_becomes_readable(predictor, config, tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"{digest('old')}\n")
    security = SecurityConfig(api_keys_file=str(file))
    with guarded(predictor, replace(config, security=security)) as client:
        file.write_text(f"{digest('new')}\n")
        for mode, status in ((0o000, 401), (0o600, 200)):
            file.chmod(mode)
            time.sleep(1.1)
            assert client.get("/model", headers={"X-API-Key": "new"}).status_code == status


def test_keys_of_administrators_alone_let_nobody_else_in(predictor, config, monkeypatch):
    monkeypatch.setenv("SERVING_API_KEYS", f"{digest('one')} admin")
    with guarded(predictor, config) as client:
        assert_problem(client.post("/predict", json={"text": "a"}), 401)
        key = {"X-API-Key": "one"}
        assert client.post("/predict", json={"text": "a"}, headers=key).status_code == 200
    security = SecurityConfig(open_paths=["/ready", "/predict"])
    with guarded(predictor, replace(config, security=security)) as client:
        assert client.post("/predict", json={"text": "a"}).status_code == 200
        assert_problem(client.post("/admin/reload"), 401)


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_a_probe_may_ask_for_the_head_alone(client, path):
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_probes_need_no_key_and_no_host_where_they_exist(predictor, config, monkeypatch):
    of_server = {"/livez", "/readyz"} if has("serving.bentoml") else set()
    has_v2 = has("deployment") and has("deployment.v2")
    of_v2 = {"/v2/health/live", "/v2/health/ready"} if has_v2 else set()
    probes = {"/health", "/ready", *of_server, *of_v2}
    monkeypatch.setenv("SERVING_API_KEYS", digest("one"))
    with guarded(predictor, config) as client:
        for path in probes:
            assert client.get(path, headers={"Host": "elsewhere"}).status_code == 200
        for path in {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"} - probes:
            assert_problem(client.get(path), 401)
            assert_problem(client.get(path, headers={"Host": "elsewhere"}), 421)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my secret\n", "line 1 of keys is no SHA-256 in hexadecimal; `printf %s KEY | sha256sum`"),
        (f"{'0' * 64} Admin\n", "line 1 of keys has more than a SHA-256 and `admin`"),
        (None, "serving.security.api_keys_file: keys cannot be read (No such file or directory)"),
    ],
)
def test_a_file_without_keys_is_refused_in_one_line(
    predictor, config, tmp_path, monkeypatch, text, message
):
    monkeypatch.chdir(tmp_path)
    if text:
        (tmp_path / "keys").write_text(text)
    security = SecurityConfig(api_keys_file="keys")
    with pytest.raises(ProjectError) as raised:
        create_app(Engine(Source(lambda: predictor), replace(config, security=security)))
    assert str(raised.value).startswith(message)
    assert "secret" not in str(raised.value)


def test_a_key_has_so_many_requests_at_once(predictor, config, monkeypatch):
    monkeypatch.setenv("SERVING_API_KEYS", f"{digest('a')},{digest('b')}")
    limited = replace(config, security=SecurityConfig(max_requests_per_key=2))
    with guarded(predictor, limited) as client:
        slow = [half_sent(client, {"X-API-Key": "a"}) for _ in range(2)]
        time.sleep(0.2)
        refused = client.get("/model", headers={"X-API-Key": "a"})
        assert_problem(refused, 429)
        assert refused.headers["Retry-After"] == "1"
        assert client.get("/model", headers={"X-API-Key": "b"}).status_code == 200
        for connection in slow:
            connection.close()
        time.sleep(0.2)
        assert client.get("/model", headers={"X-API-Key": "a"}).status_code == 200

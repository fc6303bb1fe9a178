"""More work than the server can do in time, and clients that disconnect early."""

import asyncio
import json
import re
import socket
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest
from toy_project.models.bundle import Bundle
from toy_project.serving.config import ServingConfig
from toy_project.serving.predictor import Predictor

from ..conftest import has
from .conftest import FULL_BATCH, Answer, Serve, Served, running, wait_until_ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server

JSON = {"Content-Type": "application/json"}
OF_HTTP_1_0 = (
    b"POST /predict HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
GONE = 'http_requests_total{path="/predict/batch",status="499"}'


def send(served: Served, document: object) -> socket.socket:
    """Return a connection on which a batch was sent, and nothing read."""
    body = json.dumps(document).encode()
    head = (
        "POST /predict/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection((served.host, served.port))
    connection.sendall(head.encode() + body)
    return connection


def whole_answer_to(served: Served, request: bytes) -> bytes:
    """Return what comes until the server closes the connection."""
    with socket.create_connection((served.host, served.port), timeout=2) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def timed(served: Served, path: str, document: object) -> tuple[Answer, float]:
    started = time.monotonic()
    answer = served.ask("POST", path, document)
    return answer, time.monotonic() - started


def test_no_work_is_done_for_clients_that_have_gone(serve: Serve) -> None:
    with serve("serving.max_queue_size=960", "serving.max_wait_s=600") as served:
        _, full_batch_s = timed(served, "/predict/batch", FULL_BATCH)
        clients = [send(served, FULL_BATCH) for _ in range(15)]
        time.sleep(full_batch_s)
        for client in clients:
            client.close()
        answer, waited_s = timed(served, "/predict", {"text": "cat"})
        assert answer.status == 200
        # Whatever is done for the others was done before that one.
        assert served.figure("batch_size_sum") <= 64 + 5 * 64 + 1
        assert waited_s < 5 * full_batch_s
        until(lambda: served.figure(GONE) >= 10)


def test_clients_that_have_gone_take_up_no_room(serve: Serve) -> None:
    with serve("serving.max_queue_size=64") as served:
        clients = [send(served, FULL_BATCH)]
        until(lambda: served.figure("batch_size_sum") == 64)  # it is in the model
        clients.append(send(served, FULL_BATCH))  # and this one fills the queue
        assert served.ask("POST", "/predict", {"text": "cat"}).status == 503
        for client in clients:
            client.close()
        until(lambda: f"{GONE} 2.0" in served.ask("GET", "/metrics").body)
        assert served.ask("POST", "/predict", {"text": "cat"}).status == 200


def test_a_refused_request_leaves_its_connection_as_it_was(serve: Serve) -> None:
    with serve("serving.max_queue_size=64") as served:
        clients = [send(served, FULL_BATCH)]
        until(lambda: served.figure("batch_size_sum") == 64)
        clients.append(send(served, FULL_BATCH))
        connection = HTTPConnection(served.host, served.port, timeout=60)
        for text in ("cat", "cat " * 250_000, "cat"):  # the second body comes in many pieces
            connection.request("POST", "/predict", json.dumps({"text": text}), JSON)
            refused = connection.getresponse()
            problem = json.load(refused)
            assert (refused.status, problem["status"]) == (503, 503)
            assert problem["detail"] == "too many inputs are waiting"
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert int(refused.headers["Retry-After"]) >= 1
        assert b" 503 " in whole_answer_to(served, OF_HTTP_1_0)  # which closes its connection
        for client in clients:
            client.close()
        until(lambda: f"{GONE} 2.0" in served.ask("GET", "/metrics").body)
        connection.request("POST", "/predict", json.dumps({"text": "cat"}), JSON)
        assert connection.getresponse().status == 200
        assert served.figure('http_requests_total{path="/predict",status="503"}') == 4
        assert served.figure('http_requests_refused_total{reason="queue_full"}') == 4


@pytest.mark.parametrize("warm", [True, False], ids=["measured", "cold"])
def test_nobody_waits_much_longer_than_the_longest_wait(serve: Serve, warm: bool) -> None:
    with serve("serving.max_wait_s=1") as served:
        for _ in range(3 * warm):
            assert served.ask("POST", "/predict/batch", FULL_BATCH).status == 200
        before = served.figure("batch_size_sum")
        with ThreadPoolExecutor(16) as clients:
            asked = [clients.submit(timed, served, "/predict/batch", FULL_BATCH) for _ in range(16)]
            answers = [one.result() for one in asked]
        assert served.ask("POST", "/predict", {"text": "cat"}).status == 200
        made = served.figure("batch_size_sum") - 1 - before
    statuses = [answer.status for answer, _ in answers]
    assert set(statuses) == {200, 503}
    assert made == 64 * statuses.count(200)
    for answer in (answer for answer, _ in answers if answer.status == 503):
        assert re.search(r'"detail": "the wait (was|may be) longer than 1 s"', answer.body)
        assert int(answer.headers["Retry-After"]) >= 1
    full_batch_s = min(seconds for answer, seconds in answers if answer.status == 200)
    assert max(seconds for _, seconds in answers) < 1 + 4 * full_batch_s


CAPACITY = 200
"""Inputs that the model below predicts in a second."""


class Steady(Predictor):
    """Takes the same time for each input, and no processor."""

    def predict(self, rows):
        time.sleep(len(rows) / CAPACITY)
        return super().predict(rows[:1]) * len(rows)


class Outcome(NamedTuple):
    """What became of a request."""

    status: int
    latency_s: float


async def ask(port: int, text: str = "cat") -> Outcome:
    body = json.dumps({"text": text}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + body)
    answer = await reader.read()
    writer.close()
    return Outcome(int(answer.split()[1]), time.monotonic() - started)


async def ask_at_a_rate(port: int, rate: int, seconds: int) -> list[Outcome]:
    """Send requests whether the earlier ones were answered or not."""
    started, asked = time.monotonic(), []
    for number in range(rate * seconds):
        await asyncio.sleep(max(0, started + number / rate - time.monotonic()))
        asked.append(asyncio.create_task(ask(port)))
    return await asyncio.gather(*asked)


@pytest.mark.skipif(
    not has("serving.fastapi"), reason="BentoML cannot refuse 400 requests/s beside their client"
)
def test_twice_the_capacity_takes_little_of_it(bundle: Bundle) -> None:
    seconds, config = 4, ServingConfig(max_batch_size=16, max_wait_s=1)
    with running(lambda: Steady(bundle), config) as client:
        wait_until_ready(client)
        port = client.base_url.port
        assert port
        outcomes = asyncio.run(ask_at_a_rate(port, 2 * CAPACITY, seconds))
    good = [one.latency_s for one in outcomes if one.status == 200]
    refused = [one.latency_s for one in outcomes if one.status == 503]
    assert len(good) + len(refused) == len(outcomes)
    assert len(good) >= 0.85 * CAPACITY * seconds
    assert statistics.quantiles(good, n=100)[-1] <= 1 + 0.5  # what the client takes is in it
    assert statistics.median(refused) < 0.1


def test_a_cold_burst_of_600_connections_is_answered(serve: Serve, bundle_folder: Path) -> None:
    async def burst(port: int) -> list[Outcome]:
        return await asyncio.gather(*(ask(port, "cat dog " * (1 + i % 64)) for i in range(600)))

    with serve(f"serving.model={bundle_folder}", "serving.backend=onnx") as served:
        outcomes = asyncio.run(burst(served.port))
        assert served.figure("batch_size_sum") == 600
    assert {one.status for one in outcomes} == {200}

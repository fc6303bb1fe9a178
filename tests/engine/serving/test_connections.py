"""Kept-alive connections while a server runs and while it stops."""

import json
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import FULL_BATCH, Serve, Served


def test_small_answers_are_not_held_back(serve: Serve) -> None:
    """Nagle's algorithm would wait for the client's delayed ACK, 40 ms."""
    with serve() as served:
        connection, seconds = HTTPConnection(served.host, served.port), []
        for _ in range(21):
            started = time.perf_counter()
            connection.request("GET", "/health")
            connection.getresponse().read()
            seconds.append(time.perf_counter() - started)
        connection.close()
    assert statistics.median(seconds) < 0.035


def test_an_idle_connection_stays_open(serve: Serve) -> None:
    """It would be closed by uvicorn after 5 s, which is when a load balancer may use it again."""
    with serve() as served:
        connection = HTTPConnection(served.host, served.port)
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        socket = connection.sock
        time.sleep(6)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        assert connection.sock is socket is not None
        connection.close()


class Outcome(NamedTuple):
    """What one client saw of a server that stopped."""

    answered: int
    announced: bool
    """Whether the last answer had the header `Connection: close`."""
    lost: bool
    """Whether a request on a connection that was not announced to close got no answer."""


def keep_asking(served: Served, number: int) -> Outcome:
    """Ask over one connection, with pauses, until the server closes it."""
    pauses, answered = random.Random(number), 0
    connection = HTTPConnection(served.host, served.port, timeout=30)
    connection.connect()
    while True:
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            response.read()
        except (OSError, HTTPException):
            return Outcome(answered, announced=False, lost=True)
        answered += 1
        if response.getheader("Connection") == "close":
            return Outcome(answered, announced=True, lost=False)
        time.sleep(pauses.uniform(0, 0.02))


@pytest.mark.parametrize("number", range(2))
def test_sigterm_loses_no_request_of_a_kept_connection(serve: Serve, number: int) -> None:
    with serve() as served, ThreadPoolExecutor(32) as pool:
        clients = [pool.submit(keep_asking, served, 100 * number + i) for i in range(32)]
        time.sleep(0.5)
        served.process.send_signal(signal.SIGTERM)
        outcomes = [client.result() for client in clients]
        assert served.process.wait(timeout=20) == 0
        assert served.process.stderr and served.process.stderr.read() == ""
    assert [client.lost for client in outcomes].count(True) == 0
    assert all(client.announced and client.answered for client in outcomes)


def test_the_probe_fails_before_connections_are_refused(serve: Serve) -> None:
    with serve("serving.drain_s=1") as served:
        assert served.ask("GET", "/ready").status == 200
        served.process.send_signal(signal.SIGTERM)
        stopping = served.ask("GET", "/ready")
        assert (stopping.status, stopping.headers["Connection"]) == (503, "close")
        assert "the server is stopping" in stopping.body
        assert served.ask("POST", "/predict", {"text": "cat"}).status == 200
        assert served.process.wait(timeout=20) == 0


def test_a_client_that_asks_for_websockets_leaves_nothing_in_the_log(serve: Serve) -> None:
    with serve("serving.drain_s=0") as served:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        assert served.ask("GET", "/health", headers=upgrade).status == 200
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=20) == 0
        assert served.process.stderr and served.process.stderr.read() == ""


def test_clients_that_wait_to_be_accepted_are_answered(serve: Serve) -> None:
    with serve("serving.drain_s=0") as served:
        served.process.send_signal(signal.SIGSTOP)
        clients = [HTTPConnection(served.host, served.port, timeout=30) for _ in range(32)]
        for client in clients:
            client.request("GET", "/health")
        served.process.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGCONT)
        assert [client.getresponse().status for client in clients] == [200] * 32
        assert served.process.wait(timeout=20) == 0


HANGING = """
import time
from toy_project import serve
from toy_project.models.bundle import Bundle
Bundle.load = lambda folder: time.sleep(600)
serve.main()
"""


def test_a_server_stops_whose_first_model_is_still_being_loaded(workspace: Path) -> None:
    settings = ["serving.port=0", "serving.drain_s=0", "serving.shutdown_timeout_s=4"]
    command = [sys.executable, "-c", HANGING, *settings, "serving.model=models/bundle"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and "serving on" in process.stderr.readline()
        time.sleep(0.5)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - started < 8


PIPELINED = 2000
"""Pages that are more than the buffers of a socket hold."""


def ask_and_not_read(served: Served) -> socket.socket:
    """Return a connection that has asked for the page many times, and has read no answer."""
    connection = socket.create_connection((served.host, served.port), timeout=30)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * PIPELINED)
    return connection


def test_a_client_that_reads_no_answer_is_disconnected(serve: Serve) -> None:
    with serve("serving.header_timeout_s=1") as served, ask_and_not_read(served) as connection:
        time.sleep(4)
        received = b"".join(iter(lambda: connection.recv(2**20), b""))
    assert received.count(b"HTTP/1.1 200") < PIPELINED


def test_a_client_that_reads_no_answer_leaves_no_traceback_at_the_end(serve: Serve) -> None:
    settings = ["serving.drain_s=0", "serving.shutdown_timeout_s=4"]
    with serve(*settings) as served, ask_and_not_read(served):
        time.sleep(1)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=20) == 0
        assert served.process.stderr and served.process.stderr.read() == ""


def test_what_cannot_be_answered_in_time_is_refused_at_the_end(serve: Serve) -> None:
    settings = ["serving.drain_s=0", "serving.shutdown_timeout_s=2"]
    settings += ["serving.max_wait_s=60", "serving.max_queue_size=2048", "serving.log_format=json"]
    with serve(*settings) as served, ThreadPoolExecutor(32) as pool:
        clients = [pool.submit(served.ask, "POST", "/predict/batch", FULL_BATCH) for _ in range(32)]
        next(as_completed(clients))
        started = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        answers = [client.result() for client in clients]
        assert served.process.wait(timeout=20) == 0
        assert time.monotonic() - started < 2 + 3
        assert served.process.stderr
        lines = [json.loads(line) for line in served.process.stderr]
    assert {answer.status for answer in answers} == {200, 503}
    assert all("the server is stopping" in one.body for one in answers if one.status == 503)
    logged = {line["request_id"]: line["status"] for line in lines if "status" in line}
    assert logged == {answer.headers["X-Request-Id"]: answer.status for answer in answers}
    assert len(logged) == len(answers)
    assert {line["logger"] for line in lines if line["level"] == "ERROR"} == {"uvicorn.error"}

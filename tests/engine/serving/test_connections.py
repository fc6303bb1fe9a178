"""Kept-alive connections while a server runs and while it stops."""

import gc
import random
import signal
import socket
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from threading import Thread
from typing import NamedTuple

import pytest
from toy_project.models.bundle import Bundle
from toy_project.serving.config import ServingConfig
from toy_project.serving.engine import Engine
from toy_project.serving.fastapi import create_app
from toy_project.serving.predictor import Predictor
from toy_project.serving.server import run

from .conftest import Serve, Served


def test_small_answers_are_not_held_back(bundle: Bundle) -> None:
    """Nagle's algorithm would wait for the client's delayed ACK, 40 ms."""
    with served_here(bundle) as connection:
        assert connection.sock
        accepted = accepted_from(connection.sock.getsockname())
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@contextmanager
def served_here(bundle: Bundle) -> Generator[HTTPConnection]:
    """Give a connection to a server in this process that has answered a request on it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    engine = Engine(lambda: Predictor(bundle), ServingConfig(port=port))
    server = Thread(target=run, args=(create_app(engine), engine), kwargs={"note": ""})
    server.start()
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for _ in range(100):
            with suppress(ConnectionRefusedError):
                connection.connect()
                break
            time.sleep(0.1)
        connection.request("GET", "/health")
        connection.getresponse().read()
        yield connection
    finally:
        connection.close()
        engine.on_error()  # stops the server
        server.join(timeout=30)


def accepted_from(peer: tuple[str, int]) -> socket.socket:
    """Return the socket of this process that is connected to `peer`."""
    for candidate in gc.get_objects():
        if type(candidate) is socket.socket:
            with suppress(OSError):  # it listens, or is closed
                if candidate.getpeername() == peer:
                    return candidate
    pytest.fail(f"no connection from {peer}")


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
        assert served.process.wait(timeout=20) == -signal.SIGTERM
        assert served.process.stderr and served.process.stderr.read() == ""
    assert [client.lost for client in outcomes].count(True) == 0
    assert all(client.announced and client.answered for client in outcomes)

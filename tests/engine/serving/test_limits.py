"""How large and how slow a request may be: real requests."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection

import pytest

from .conftest import Serve, Served
from .test_guard import JSON, PROBLEM, assert_problem, guarded, half_sent

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server


def test_a_large_head_is_refused_if_it_comes_at_once(serve: Serve) -> None:
    lines = "".join(f"X-{i}: {'a' * 10}\r\n" for i in range(8000))
    with serve() as served, socket.create_connection((served.host, served.port)) as connection:
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/nothing"])
def test_a_large_body_is_refused_from_its_header(client, path):
    answer = client.post(path, content=b" " * 1_000_001, headers=JSON)
    detail = assert_problem(answer, 413)
    assert detail == "the body has more than 1000000 bytes"


def test_a_large_body_without_a_length_is_refused_while_it_comes(client):
    def chunks() -> Iterator[bytes]:
        yield from [b" " * 100_000] * 11

    assert_problem(client.post("/predict", content=chunks(), headers=JSON), 413)


def test_the_bodies_of_all_requests_are_bounded(predictor, config):
    limits = replace(config, max_body_bytes=1000, max_bytes_in_flight=1000)
    with guarded(predictor, limits) as client:
        with half_sent(client, {}):
            time.sleep(0.2)
            busy = client.post("/predict", content=b" " * 999, headers=JSON)
            assert "too much is being read" in assert_problem(busy, 503)
            assert (busy.headers["Retry-After"], busy.headers["Connection"]) == ("1", "close")
        time.sleep(0.2)
        assert client.post("/predict", content=b" " * 999, headers=JSON).status_code == 422


def test_a_slow_body_gets_an_answer_and_the_connection_is_closed(predictor, config):
    with guarded(predictor, replace(config, body_timeout_s=0.5)) as client:
        connection = half_sent(client, {})
        connection.settimeout(5)
        received = b"".join(iter(partial(connection.recv, 65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["detail"] == "the body was not complete after 0.5 s"


HALF_OPEN = (
    b"",
    b"POST /predict HT",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 99\r\n\r\n{"text": "',
)


def test_half_open_connections_do_not_stop_others_and_are_closed(serve: Serve) -> None:
    with serve("serving.header_timeout_s=2", "serving.body_timeout_s=2") as served:
        address = served.host, served.port
        connections = [socket.create_connection(address) for _ in range(500)]
        for number, connection in enumerate(connections):
            connection.sendall(HALF_OPEN[number % len(HALF_OPEN)])
        used = socket.create_connection(address)  # its second request is the slow one
        used.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        used.sendall(HALF_OPEN[2])
        deadline, waited = time.monotonic() + 10, []
        with ThreadPoolExecutor(4) as clients:
            while not all(map(is_closed, [*connections, used])):
                assert time.monotonic() < deadline
                used.sendall(b"x") if not is_closed(used) else None
                waited += clients.map(seconds_to_answer, [served] * 8)
        assert max(waited) < 1
        assert len(waited) >= 8


def test_a_body_after_a_slow_head_is_no_part_of_the_head(serve: Serve) -> None:
    body = json.dumps({"text": "cat " * 25_000}).encode()
    with (
        serve("serving.max_text_length=200000") as served,
        socket.create_connection((served.host, served.port)) as connection,
    ):
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: ")
        time.sleep(0.2)
        connection.sendall(b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_connection_stays_open_whose_request_was_refused_before_its_body(serve: Serve) -> None:
    with serve("serving.header_timeout_s=1") as served:
        connection = HTTPConnection(served.host, served.port, timeout=10)
        connection.putrequest("POST", "/predict", skip_host=True)
        connection.putheader("Host", "else")
        connection.putheader("Content-Length", "2")
        connection.endheaders()
        refused = connection.getresponse()
        assert (refused.status, len(refused.read())) == (
            421,
            int(refused.headers["Content-Length"]),
        )
        first = connection.sock
        first.sendall(b"{}")
        time.sleep(3.5)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        assert connection.sock is first
        connection.close()


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: "])
def test_a_head_without_an_end_is_refused(serve: Serve, start: bytes) -> None:
    with serve() as served, socket.create_connection((served.host, served.port)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + start)
        connection.settimeout(5)
        received = connection.recv(65_536)
        connection.sendall(b"a" * 65_537)
        received += b"".join(iter(partial(connection.recv, 65_536), b""))
        assert seconds_to_answer(served) < 1
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 431 " in received
    assert b"the head has more than 65536 bytes" in received


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
NOT_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # of TLS
    b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
    HEAD + b"Content-Length: 1x\r\n\r\n",
    HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    HEAD + b"X : a\r\n\r\n",
]


def test_what_is_not_http_is_answered_like_all_errors(serve: Serve) -> None:
    with serve() as served:
        for sent in NOT_HTTP:
            connection = socket.create_connection((served.host, served.port), timeout=5)
            connection.sendall(sent)
            received = b"".join(iter(partial(connection.recv, 65_536), b""))
            head, _, body = received.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n"), sent
            assert f"content-type: {PROBLEM}".encode() in head
            assert json.loads(body)["status"] == 400
        assert served.ask("GET", "/health").status == 200


def seconds_to_answer(served: Served) -> float:
    started = time.monotonic()
    assert served.ask("POST", "/predict", {"text": "cat"}).status == 200
    return time.monotonic() - started


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection; its answers are read."""
    connection.setblocking(False)
    try:
        while data := connection.recv(65_536):
            assert data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 408"))
    except BlockingIOError:
        return False
    except ConnectionResetError:  # closed before the server had read all that was sent
        pass
    return True

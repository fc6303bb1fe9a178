"""Requests that no client should send: schemathesis's cases, and bytes that are no HTTP."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

MAX_ANSWER_BYTES = 16 * 2**10
MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a line without an end": b"GET / HTTP/1.1" + b"a" * 100_000,
    "a header without a colon": b"GET / HTTP/1.1\r\nHost a\r\n\r\n",
    "a header of 1 MB": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2**20 + b"\r\n\r\n",
    "10,000 headers": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "an unknown method": b"BREW /predict HTTP/1.1\r\nHost: a\r\n\r\n",
    "a length that is no number": b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    "a negative length": b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3"
    b"\r\n\r\n{}",
    "a length and chunks": b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a chunk without a size": b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
    b"\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a path of bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "half a body": b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b'Content-Length: 100\r\n\r\n{"text": ',
}


def schemathesis(url: str, num_cases: int) -> None:
    """Print what schemathesis finds with at least that many cases of the server's OpenAPI document.

    Raises:
        subprocess.CalledProcessError: A check of `schemathesis_hooks` fails.
    """
    document = f"{url}/openapi.json"
    with urllib.request.urlopen(document) as response:
        found = json.load(response)["paths"].values()
    operations = [operation for path in found for operation in path.values()]
    # The cases of an operation without a body are few.
    number = -(-num_cases // sum("requestBody" in one for one in operations))
    command = [sys.executable, "-m", "schemathesis.cli", "run", document, "--no-color"]
    command += ["--mode", "all", "--phases", "coverage,fuzzing", "--max-examples", str(number)]
    command += ["--checks", "only_503_of_5xx,short_answers", "--continue-on-failure"]
    paths = {"PYTHONPATH": str(Path(__file__).parents[1])}
    hooks = {"SCHEMATHESIS_HOOKS": "serving_load.schemathesis_hooks"}
    subprocess.run(command, env=os.environ | paths | hooks, check=True)


def malformed(url: str) -> Counter[str]:
    """Send each kind of malformed HTTP; return the statuses, or `closed` where no answer came.

    Raises:
        AssertionError: An answer is a 5xx or too long.
    """
    statuses: Counter[str] = Counter()
    for name, content in MALFORMED.items():
        answer = _exchange(url, content)
        found = re.match(rb"HTTP/1\.1 (\d+)", answer)
        status = found[1].decode() if found else "closed"
        assert not status.startswith("5"), f"{name} gives {answer[:200]!r}"
        assert len(answer) <= MAX_ANSWER_BYTES, f"{name} gives {len(answer)} bytes"
        statuses[status] += 1
    return statuses


def _exchange(url: str, content: bytes) -> bytes:
    """Return what the server sends until it closes the connection, or sends nothing for 2 s."""
    address, received = urlsplit(url), b""
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=2) as client:
        with suppress(OSError):
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while part := client.recv(2**16):
                received += part
    return received

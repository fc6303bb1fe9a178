"""A rendered project's server on loopback, and requests to it."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import inside


@contextmanager
def served(project: Path, env: Path) -> Generator[str]:
    """The URL of `make serve`, once it is ready; stopped after the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["make", "serve", f"ARGS=serving.port={port}"]
    variables = inside(project, env)
    with (project / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=project, env=variables, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log=project / "serve.log")
        yield url
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], *, log: Path) -> None:
    """Returns when the server has loaded a model; fails with its log when it does not."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            get(f"{url}/ready")
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"not ready:\n{log.read_text()}")


def get(url: str) -> dict[str, Any]:
    """The JSON document at the URL."""
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


def post(url: str, document: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer to a JSON document."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(document).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)

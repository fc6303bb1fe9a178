"""The servers of tests/untrained.py, as processes."""

import os
import signal
import socket
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from demo import wait_until_ready

MODALITIES = ("text", "image", "tabular")
OBJECTIVES = ("classification", "regression", "multilabel")
BUSY = "busy"
"""A server of texts that refuses all of them, since they would wait too long."""
KEYED, KEY = "keyed", "secret"
"""A server of texts that needs an API key, and the key."""
SCRIPT = Path(__file__).with_name("untrained.py")


Urls = dict[tuple[str, str], str]
"""By modality and objective."""


@contextmanager
def serving(
    project: Path, modality: str, *servers: str, env: Mapping[str, str]
) -> Generator[list[str]]:
    """Yield the URL of each server, which is an objective, and settings after commas."""
    ports = [_free_port() for _ in servers]
    each = [f"{server},serving.port={port}" for server, port in zip(servers, ports, strict=True)]
    log = project.with_name("servers.log")
    with log.open("wb") as lines:
        process = subprocess.Popen(
            ["python", str(SCRIPT), str(project / "models"), modality, *each],
            cwd=project,
            env=env,
            stdout=lines,
            stderr=lines,
            start_new_session=True,
        )
    try:
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            wait_until_ready(url, process, log=log)
        yield urls
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # a fork may wait for ever for threads of its parent
        process.wait(timeout=60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]

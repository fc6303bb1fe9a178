"""The real server, as a process, behind a model that takes a second for a full batch."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from toy_project.config import Config, DataConfig
from toy_project.data.preprocessing import preprocess
from toy_project.data.rows import Row
from toy_project.lineage import current_lineage
from toy_project.models.base import build_model
from toy_project.models.bundle import Bundle

FULL_BATCH = {"inputs": [{"text": "cat dog " * 64}] * 64}


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: Message
    body: str


class Served(NamedTuple):
    """A server that is ready."""

    process: subprocess.Popen[str]
    host: str
    port: int

    def ask(self, method: str, path: str, document: Any = None) -> Answer:
        """Return the answer to a request on a connection of its own."""
        connection = HTTPConnection(self.host, self.port, timeout=60)
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(document), headers)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read().decode())
        connection.close()
        return answer

    def figure(self, name: str) -> int:
        """Return a figure of /metrics."""
        figures = dict(
            line.rsplit(" ", 1) for line in self.ask("GET", "/metrics").body.splitlines()
        )
        return int(float(figures[name]))


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture(scope="session")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained transformer that reads 128 tokens of a text."""
    rows = [
        Row({"text": f"{animal} n{i}", "label": animal}, group=f"{animal}{i // 4}")
        for animal in ("cat", "dog")
        for i in range(40)
    ]
    encoder = {"name": "text", "min_count": 1}
    processed = preprocess(rows, Config(data=DataConfig(encoder=encoder)))
    sizes = {"hidden_size": 256, "num_layers": 4, "feedforward_size": 1024}
    model = build_model({"name": "transformer", **sizes}, processed.spec).eval()
    folder = tmp_path_factory.mktemp("slow") / "bundle"
    Bundle(model, processed.spec, current_lineage(Config(), run_id=None)).save(folder)
    return folder


@pytest.fixture
def serve(slow_bundle: Path, workspace: Path) -> Serve:
    """A function of settings that gives `python -m toy_project.serve`, ready, inside `with`."""

    @contextmanager
    def serving(*settings: str) -> Generator[Served]:
        command = [sys.executable, "-m", "toy_project.serve", "serving.port=0"]
        with subprocess.Popen(
            [*command, f"serving.model={slow_bundle}", *settings],
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stderr
                address = re.search(r"http://(\S+):(\d+),", process.stderr.readline())
                assert address
                assert " is ready" in process.stderr.readline()
                yield Served(process, address[1], int(address[2]))
            finally:
                process.kill()

    return serving

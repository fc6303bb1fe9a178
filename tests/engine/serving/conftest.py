"""The project's server: in a thread of this process, or as a process behind a slow model."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from email.message import Message
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx2
import hydra
import pytest
import uvicorn
from miniature import CONFIGS
from starlette.types import ASGIApp
from toy_project.compose import to_config
from toy_project.data.rows import Row
from toy_project.models.base import build_model
from toy_project.models.bundle import Bundle
from toy_project.serving.config import (
    ServeConfig,
    ServingConfig,
)
from toy_project.serving.engine import Engine
from toy_project.serving.predictor import Predictor
from toy_project.serving.source import Source

from ..conftest import DATA, bundle_of, has, make_config, process

# Tests of one server.
collect_ignore = [
    *([] if has("serving.bentoml") else ["test_bentoml.py"]),
    *([] if has("serving.fastapi") else ["test_fastapi.py", "test_batching.py"]),
    *([] if has("deployment") else ["test_shadow.py", "test_signature.py", "test_tracing.py"]),
]


def compose(*overrides: str) -> ServeConfig:
    """Return the configuration of `make serve`."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return to_config(hydra.compose("serve", overrides=list(overrides)), ServeConfig)


def create_app(engine: Engine) -> ASGIApp:
    """Return the app of the project's server."""
    return import_module(f"toy_project.serving.{compose().serving.name}").create_app(engine)


@contextmanager
def running(
    load: Callable[[], Predictor] | Source,
    config: ServingConfig,
    prepare: Callable[[Engine], None] = lambda engine: None,
) -> Generator[httpx2.Client]:
    """Run a server in a thread, after `prepare`; give a client for it."""
    source = load if isinstance(load, Source) else Source(load)
    engine = Engine(source, config)
    prepare(engine)
    app = create_app(engine)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx2.Client(base_url=url, timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def wait_until_ready(client: httpx2.Client) -> None:
    """Return when predictions are answered."""
    while client.get("/ready").status_code != 200:
        pass


def assert_refused(client: httpx2.Client, bodies: Iterable[str]) -> None:
    """Assert that each body, and others that describe nothing, are refused in few words."""
    headers = {"Content-Type": "application/json"}
    nested = ("[" * 100_000, "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300)
    for body in ("", "{", "[]", "{}", "null", "1", '"text"', *nested, *bodies):
        for path in ("/predict", "/predict/batch"):
            answer = client.post(path, content=body, headers=headers)
            assert answer.status_code == 422, (path, body[:100])
            assert len(answer.content) < 2_000


@pytest.fixture(scope="session")
def config() -> ServingConfig:
    """Limits that a test reaches easily."""
    return ServingConfig(
        max_batch_size=32,
        max_text_length=1000,
        max_queue_size=256,
        max_body_bytes=1_000_000,
        docs=True,
    )


@pytest.fixture(scope="session")
def predictor(bundle: Bundle) -> Predictor:
    """The bundle, offline."""
    return Predictor(bundle)


@pytest.fixture(scope="session")
def client(bundle: Bundle, config: ServingConfig) -> Generator[httpx2.Client]:
    """A client of a server that has loaded its model."""
    with running(lambda: Predictor(bundle, version="3"), config) as client:
        wait_until_ready(client)
        yield client


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

    def ask(
        self,
        method: str,
        path: str,
        document: Any = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        """Return the answer to a request on a connection of its own."""
        connection = HTTPConnection(self.host, self.port, timeout=60)
        headers = {"Content-Type": "application/json", **headers}
        connection.request(method, path, json.dumps(document), headers)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read().decode())
        connection.close()
        return answer

    def figure(self, name: str) -> int:
        """Return a figure of /metrics; 0 if there is none."""
        figures = dict(
            line.rsplit(" ", 1) for line in self.ask("GET", "/metrics").body.splitlines()
        )
        return int(float(figures.get(name, 0)))


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
    folder = tmp_path_factory.mktemp("slow")
    config = make_config(data=replace(DATA, encoder=encoder))
    processed = process(rows, config, folder)
    sizes = {"hidden_size": 256, "num_layers": 4, "feedforward_size": 1024}
    model = build_model({"name": "transformer", **sizes}, processed.spec)
    bundle_of(model, processed.spec).save(folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def serve(slow_bundle: Path, workspace: Path) -> Serve:
    """A function of settings that gives `python -m toy_project.serve`, ready, inside `with`."""

    @contextmanager
    def serving(*settings: str) -> Generator[Served]:
        command = [sys.executable, "-m", "toy_project.serve", "serving.port=0"]
        with subprocess.Popen(
            [*command, "serving.backend=torch", f"serving.model={slow_bundle}", *settings],
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

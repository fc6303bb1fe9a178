import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from toy_project import serve
from toy_project.config import TrackingConfig
from toy_project.models.bundle import Bundle, BundleError
from toy_project.serving.config import (
    ServeConfig,
    ServingConfig,
)
from toy_project.serving.source import load_bundle, load_predictor
from toy_project.tracking.base import (
    TrackingError,
    create_tracker,
)
from toy_project.tracking.registry import create_registry

from .conftest import TRACKERS, make_config

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server


@contextmanager
def serving(*arguments: str) -> Generator[tuple[subprocess.Popen[str], httpx2.Client]]:
    """Run the command; give its process and a client once it is ready."""
    command = [
        sys.executable,
        "-m",
        "toy_project.serve",
        "serving.port=0",
        *arguments,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            url = re.search(r"http://\S+(?=,)", process.stderr.readline())
            assert url
            assert " is ready" in process.stderr.readline()
            with httpx2.Client(base_url=url[0], timeout=30) as client:
                yield process, client
        finally:
            process.kill()


def run(monkeypatch, *arguments: str) -> str:
    """Return the line with which the command ends."""
    monkeypatch.setattr(sys, "argv", ["serve", *arguments])
    with pytest.raises(SystemExit) as end:
        serve.main()
    return str(end.value.code)


def test_sigterm_lets_the_requests_in_flight_finish(workspace, bundle_folder):
    with serving(f"serving.model={bundle_folder}") as (process, client):
        body = {"inputs": [{"text": "word " * 2000}] * 64}
        with ThreadPoolExecutor(4) as clients:
            answers = [clients.submit(client.post, "/predict/batch", json=body) for _ in range(4)]
            while "batch_size_count 0.0" in client.get("/metrics").text:
                pass
            process.send_signal(signal.SIGTERM)
            assert [answer.result().status_code for answer in answers] == [200] * 4
        assert process.wait(timeout=10) == 0
        assert process.stderr and process.stderr.read() == ""


def test_a_bundle_that_cannot_be_loaded_ends_the_server(workspace, bundle_folder, monkeypatch):
    weights = bundle_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    line = f"error: {bundle_folder} is damaged: model.safetensors is not what was written"
    assert run(monkeypatch, "serving.port=0", f"serving.model={bundle_folder}") == line


def test_a_port_that_is_taken_is_named(workspace, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = (
            f"error: cannot listen on 127.0.0.1:{port} (Address already in use); "
            "set serving.host or serving.port"
        )
        assert run(monkeypatch, f"serving.port={port}") == line


@pytest.mark.skipif(not TRACKERS, reason="the project has no registry")
def test_the_champion_is_served_under_its_version(tracking, bundle_folder):
    config = make_config(ServeConfig, tracking=tracking, serving=ServingConfig(model="champion"))
    with pytest.raises(TrackingError, match="model has no champion; run `make register`"):
        load_predictor(config)
    bundle = Bundle.load(bundle_folder)
    registry = create_registry(tracking)
    with create_tracker(tracking).start("a run") as run:
        for version in (bundle.version, "of other weights"):
            tags = bundle.tags() | {"bundle_version": version}
            model = registry.register("model", bundle_folder, run=run, description="", tags=tags)
            registry.promote(model, run=run)
            if version == bundle.version:
                assert load_predictor(config).version == model.version
    line = f"version {model.version} of model is not the model that was registered"
    with pytest.raises(BundleError, match=line):
        load_predictor(config)


@pytest.mark.skipif(not TRACKERS, reason="the project has no registry")
def test_champions_that_are_loaded_at_once_leave_no_files(
    tracking, bundle_folder, tmp_path, monkeypatch
):
    config = make_config(ServeConfig, tracking=tracking, serving=ServingConfig(model="champion"))
    bundle, registry = Bundle.load(bundle_folder), create_registry(tracking)
    with create_tracker(tracking).start("a run") as run:
        model = registry.register(
            "model", bundle_folder, run=run, description="", tags=bundle.tags()
        )
        registry.promote(model, run=run)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    files = sorted(Path().rglob("*.safetensors"))
    with ThreadPoolExecutor(4) as processes:
        loaded = list(processes.map(lambda _: load_bundle(config)[0].sha256, range(8)))
    assert loaded == [bundle.sha256] * 8
    assert sorted(Path().rglob("*.safetensors")) == files
    assert list((tmp_path / "temporary").iterdir()) == []


def test_without_tracking_there_is_no_champion():
    config = make_config(
        ServeConfig, tracking=TrackingConfig("none"), serving=ServingConfig(model="champion")
    )
    with pytest.raises(TrackingError) as caught:
        load_predictor(config)
    assert str(caught.value) == "tracking=none has no registry; choose another tracker"

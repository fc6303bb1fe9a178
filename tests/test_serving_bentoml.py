"""serving=bentoml, for real: a server and a bento, each from a cold start under a burst."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import local

import pytest
from conftest import Render, Run, inside

from demo import post, wait_until_ready

pytestmark = pytest.mark.slow

TEXTS = [f"Open a socket and wait for connection {i}. " * (1 + i % 9) for i in range(600)]
NUM_CONNECTIONS = len(TEXTS)
BURST_WITHIN_S = 60
OFFLINE = """
import json, sys
from pathlib import Path
from toy_project.models.bundle import Bundle
from toy_project.serving.predictor import Predictor
predictor = Predictor(Bundle.load(Path("models/bundle")))
print(json.dumps(predictor.predict([{"text": text} for text in json.load(sys.stdin)])))
"""


def log_of(project: Path) -> Path:
    """The folder of the predictions' log, which is not in the bento."""
    return project.with_name("log")


@pytest.fixture(scope="module")
def project(render: Render, run_in: Run) -> Path:
    """A project with a model of one short epoch."""
    folder = render(with_git=True, serving="bentoml", monitoring="drift")
    config = folder / "configs" / "monitoring" / "drift.yaml"
    text = config.read_text("utf-8")
    config.write_text(text.replace("folder: logs", f"folder: {log_of(folder)}"), "utf-8")
    for stage in ("fetch", "preprocess"):
        run_in(folder, "make", stage)
    run_in(folder, "make", "train", "ARGS=training=smoke tracking=none", timeout_s=120)
    return folder


@pytest.fixture(scope="module")
def expected(project: Path, project_env: Path) -> list[tuple[str, float]]:
    """Label and confidence of each text, predicted without a server."""
    done = subprocess.run(
        [project_env / "bin" / "python", "-c", OFFLINE],
        input=json.dumps(TEXTS),
        cwd=project,
        env=inside(project, project_env),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [tuple(pair) for pair in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def bento_home(project: Path, run_in: Run) -> Path:
    """The folder in which `make bento` built a bento without network access."""
    nowhere = "http://127.0.0.1:9"
    closed = {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "ALL_PROXY": nowhere, "NO_PROXY": ""}
    run_in(project, "make", "bento", env=closed | {"UV_OFFLINE": "1"}, timeout_s=120)
    return project / ".bentoml"


@contextmanager
def server(*command: str, cwd: Path, env: Mapping[str, str], log: Path) -> Generator[str]:
    """Yield the URL of a server once it is ready; SIGTERM must end it and its descendants."""
    port = free_port()
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=cwd,
            env=env,
            stdout=lines,
            stderr=lines,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log=log)
        yield url
        family = {process.pid, *descendants(process.pid)}
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        assert not family & parents().keys(), log.read_text()
    finally:
        for pid in {process.pid, *descendants(process.pid)} & parents().keys():
            os.kill(pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Return a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def parents() -> dict[int, int]:
    """Return the parent of each process."""
    lines = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True).splitlines()
    return {int(pid): int(parent) for pid, parent in map(str.split, lines)}


def descendants(pid: int) -> set[int]:
    """Return the descendants of a process."""
    children = {child for child, parent in parents().items() if parent == pid}
    return children.union(*map(descendants, children))


def burst(url: str) -> tuple[Counter[int], list[dict[str, object]]]:
    """Request every text over NUM_CONNECTIONS at once; return counts of statuses, and answers."""
    connections, address = local(), url.removeprefix("http://")

    def predict(text: str) -> tuple[int, dict[str, object]]:
        if not hasattr(connections, "mine"):
            connections.mine = HTTPConnection(address, timeout=BURST_WITHIN_S)
        headers = {"Content-Type": "application/json"}
        connections.mine.request("POST", "/predict", json.dumps({"text": text}), headers)
        response = connections.mine.getresponse()
        return response.status, json.loads(response.read())

    with ThreadPoolExecutor(NUM_CONNECTIONS) as clients:
        answers = list(clients.map(predict, TEXTS))
    return Counter(status for status, _ in answers), [answer for _, answer in answers]


def assert_survives_a_cold_burst(url: str, expected: list[tuple[str, float]]) -> None:
    """Check that the first 600 requests are answered, in time, in batches and correctly."""
    started = time.monotonic()
    statuses, answers = burst(url)
    assert time.monotonic() - started < BURST_WITHIN_S
    assert statuses == {200: len(TEXTS)}
    for answer, (label, confidence) in zip(answers, expected, strict=True):
        assert answer["prediction"] == label
        assert answer["confidence"] == pytest.approx(confidence, abs=1e-5)
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    assert f"batch_size_sum {float(len(TEXTS))}" in lines
    [count] = [float(line.split()[1]) for line in lines if line.startswith("batch_size_count ")]
    assert count < len(TEXTS) / 4


def test_make_serve_survives_a_cold_burst(
    project: Path, project_env: Path, expected: list[tuple[str, float]], tmp_path: Path
) -> None:
    command = ("python", "-m", "toy_project.serve", "serving.port={port}")
    env = inside(project, project_env)
    with server(*command, cwd=project, env=env, log=tmp_path / "log") as url:
        assert_survives_a_cold_burst(url, expected)
        with pytest.raises(urllib.error.HTTPError, match="422"):
            post(f"{url}/predict", {"text": ""})


def test_a_bento_serves_without_the_project(
    project: Path,
    bento_home: Path,
    project_env: Path,
    expected: list[tuple[str, float]],
    tmp_path: Path,
) -> None:
    shutil.rmtree(log_of(project), ignore_errors=True)
    command = ("bentoml", "serve", "toy_project:latest", "--host", "127.0.0.1", "--port", "{port}")
    env = inside(tmp_path, project_env) | {"BENTOML_HOME": str(bento_home)}
    with server(*command, cwd=tmp_path, env=env, log=tmp_path / "log") as url:
        assert_survives_a_cold_burst(url, expected)
        assert post(f"{url}/feedback", {"id": "0" * 32, "label": "net"}) == {"accepted": True}
        with pytest.raises(urllib.error.HTTPError, match="422"):
            post(f"{url}/predict", {"text": ""})
    records = [path.read_text().splitlines() for path in sorted(log_of(project).iterdir())]
    assert [len(lines) for lines in records] == [1, len(TEXTS)]  # of feedback, of predictions


def test_a_bento_holds_what_a_prediction_needs_and_no_data(bento_home: Path) -> None:
    [bento] = [path for path in (bento_home / "bentos" / "toy_project").iterdir() if path.is_dir()]
    packed = {str(path.relative_to(bento / "src")) for path in (bento / "src").rglob("*.*")}
    tops = {path.partition("/")[0] for path in packed}
    assert tops - {"uv.lock"} == {
        *("bentofile.yaml", "configs", "models", "pyproject.toml", "toy_project"),
    }
    assert {path for path in packed if path.startswith("models/")} == {
        *("models/bundle/config.json", "models/bundle/lineage.json"),
        *("models/bundle/model.safetensors", "models/bundle/model.onnx"),
        *("models/bundle/checks.safetensors", "models/bundle/profile.json"),
    }


def test_without_a_bundle_there_is_no_bento(render: Render, run_in: Run) -> None:
    done = run_in(render(serving="bentoml"), "make", "bento", code=None)
    assert done.returncode
    line = "error: models/bundle is missing; run `make train` first, or `make repro` for all"
    assert line in done.stderr.splitlines()

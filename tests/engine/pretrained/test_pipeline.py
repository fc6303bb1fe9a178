"""A pretrained model goes from fetch to a server's answer, by the commands that a user types."""

import json
import re
import shutil
import subprocess
import sys

import httpx2
import pytest
from toy_project import evaluate, export, fetch, preprocess, train
from toy_project.artifacts import BUNDLE, METRICS_JSON, MODEL_CARD
from toy_project.models.bundle import Bundle

from ..commands import run
from ..conftest import has
from .conftest import small, write_rows


@pytest.fixture
def answer(workspace):
    """Ask the project's server, whose process has neither a hub nor the checkpoint."""

    def asked(body: dict[str, str]) -> dict[str, object]:
        command = [sys.executable, "-m", "toy_project.serve", "serving.port=0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr
                lines = [process.stderr.readline() for _ in range(2)]
                url = re.search(r"http://\S+(?=,)", lines[0])
                assert url and " is ready" in lines[1], lines
                return httpx2.post(f"{url[0]}/predict", json=body, timeout=30).json()
            finally:
                process.terminate()

    return asked


@pytest.mark.skipif(not has("serve"), reason="the project has no server")
def test_from_fetch_to_an_answer(workspace, folder, answer, monkeypatch):
    base = shutil.copytree(folder, workspace / "base")
    write_rows(workspace / "rows.csv")
    arguments = [*small(base), "training.epochs=8", "optimizer.learning_rate=0.01"]
    assert run(fetch, preprocess, train, settings=arguments) is None
    shutil.rmtree(base)
    assert run(evaluate, settings=arguments) is None
    metrics = json.loads(METRICS_JSON.read_text("utf-8"))
    assert metrics["accuracy"] > 0.9
    assert "`pretrained` with" in MODEL_CARD.read_text("utf-8")
    bundle = Bundle.load(BUNDLE)
    said = answer({"text": "granite slate n4"})
    assert (said["prediction"], said["model_version"]) == ("stones", bundle.version)
    monkeypatch.setattr(sys, "argv", ["export", "hf"])
    export.main()

"""The whole way of a project, by `make demo`: from nothing to a served champion on real data."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from conftest import Run, inside

from demo import PROJECTS, SCRATCH, post, server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT = SCRATCH / PROJECTS["text"]


@pytest.fixture(scope="module")
def told() -> str:
    """What the demo printed: it made the project, set it up, trained, registered and served it."""
    env = {k: v for k, v in os.environ.items() if k not in {"UV_PROJECT_ENVIRONMENT", "UV_NO_SYNC"}}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    command = [sys.executable, str(ROOT / "demo" / "demo.py")]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_shows_predictions_and_scores(told: str) -> None:
    assert len(re.findall(r"^  -> \w+ \(\d+% sure\)$", told, re.MULTILINE)) == 3
    table = told.partition("on the test split")[2]
    for name in ("this model", "majority", "tfidf_logistic_regression"):
        assert re.search(rf"^{name} +0\.\d{{3}} +0\.\d{{3}}$", table, re.MULTILINE)
    assert "make ui" in table


@pytest.mark.usefixtures("told")
def test_the_model_is_no_worse_than_its_baselines() -> None:
    metrics = json.loads((PROJECT / "reports" / "metrics.json").read_text())
    baselines = metrics["baselines"]
    assert metrics["accuracy"] > 2 * baselines["majority"]["accuracy"]
    assert metrics["accuracy"] >= 0.98 * baselines["tfidf_logistic_regression"]["accuracy"]


@pytest.mark.usefixtures("told")
def test_a_second_repro_runs_nothing(run_in: Run) -> None:
    again = run_in(PROJECT, "make", "repro")
    assert "Running stage" not in again.stdout + again.stderr


@pytest.mark.usefixtures("told")
def test_the_champion_is_served_one_by_one_and_in_batches(project_env: Path) -> None:
    texts = ["Open a socket and listen.", "Return the median of numeric data."]
    with server(PROJECT, env=inside(PROJECT, project_env)) as url:
        with urllib.request.urlopen(f"{url}/health", timeout=30) as health:
            assert json.load(health) == {"status": "healthy", "model_loaded": True}
        answers = [post(f"{url}/predict", {"text": text}) for text in texts]
        inputs = [{"text": text} for text in texts]
        batch = post(f"{url}/predict/batch", {"inputs": inputs})["predictions"]
    assert [one["prediction"] for one in answers] == [one["prediction"] for one in batch]
    assert all(set(one) == {"prediction", "confidence", "model_version"} for one in answers)

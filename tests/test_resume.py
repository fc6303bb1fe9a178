"""A training that was interrupted resumes to the same result, bit for bit."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Render, Run, inside
from templates import ROOT

pytestmark = pytest.mark.slow

SETTINGS = (
    "model=mlp",
    "training.max_steps=300",
    "training.evaluate_every_n_steps=50",
    "training.checkpoint_every_n_steps=10",
    "tracking.system_metrics=false",
    "training.export=none",
)


@pytest.fixture(scope="module")
def project(render: Render, run_in: Run) -> Path:
    """A project whose data is ready."""
    project = render(with_git=True)
    run_in(project, "make", "fetch", "preprocess")
    return project


def test_the_proofs_hold_in_small(project: Path, run_in: Run) -> None:
    script = str(ROOT / "reliability" / "resume.py")
    printed = run_in(project, "python", script, "--trials", "4").stdout.splitlines()
    assert [line.rsplit(None, 1)[-1] for line in printed] == ["wrong", *"0" * 12], printed


def test_signals_end_a_run_that_goes_on_as_the_same_run(
    project: Path, project_env: Path, run_in: Run
) -> None:
    command = ("python", "-m", "toy_project.train", *SETTINGS)
    run_in(project, *command, "tracking=none")
    whole = result(project)
    env = inside(project, project_env) | {"MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"}
    for number in (signal.SIGTERM, signal.SIGINT):
        with (project / "output.txt").open("w") as output:
            training = subprocess.Popen(command, cwd=project, env=env, stdout=output, stderr=output)
            before = kept(project)
            wait_for(training, project / "output.txt", lambda b=before: bool(kept(project) - b))
            training.send_signal(number)
            code = training.wait(timeout=120)
        text = (project / "output.txt").read_text()
        assert code == 128 + number, text
        assert "Traceback" not in text
    assert "resuming after step " in text
    changed = run_in(project, *command, "optimizer.learning_rate=0.1", env=env, code=1).stderr
    assert "was trained with optimizer.learning_rate=0.003 (now 0.1); start again" in changed
    assert changed.count("\n") == 1
    run_in(project, *command, env=env)
    assert result(project) == whole
    with sqlite3.connect(project / "mlflow.db") as database:
        assert database.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]
        losses = database.execute(
            "SELECT step, COUNT(*) FROM metrics WHERE key = 'train_loss' GROUP BY step"
        ).fetchall()
    assert losses == [(step, 1) for step in range(10, 301, 10)]


def test_ctrl_c_in_a_pipeline_keeps_the_curve_and_dvc_goes_on(
    project: Path, project_env: Path, run_in: Run
) -> None:
    run_in(project, "python", "-m", "toy_project.train", *SETTINGS, "tracking=none")
    whole = result(project)
    run_in(project, "python", "-m", "toy_project.compose", *SETTINGS, "tracking=none")
    (project / "reports/history.csv").unlink()
    env = inside(project, project_env)
    with (project / "output.txt").open("w") as output:
        repro = subprocess.Popen(
            ["dvc", "repro", "train"],
            cwd=project,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        wait_for(repro, project / "output.txt", (project / "reports/history.csv").exists)
        os.killpg(repro.pid, signal.SIGINT)
        assert repro.wait(timeout=120) != 0
    # What the shell between makes of 130 is its own: dash ends by the signal, bash passes it on.
    text = (project / "output.txt").read_text()
    assert "exited with" in text
    assert "Traceback" not in text
    assert "resuming after step " in run_in(project, "dvc", "repro", "train").stderr
    assert result(project) == whole


@pytest.mark.nightly
def test_a_compiled_model_learns_what_the_model_does(project: Path, run_in: Run) -> None:
    settings = ("tracking=none", "resume=never", "model=mlp")
    settings += ("model.dropout=0", "model.word_dropout=0")
    losses, kernels = [], project / "kernels"
    for compiled in ("false", "true"):
        # Importing PyTorch's compiler makes the folder already.
        assert not any(path.is_file() for path in kernels.rglob("*"))
        run_in(
            project,
            *("python", "-m", "toy_project.train", *settings, "training.max_steps=20"),
            f"training.compile={compiled}",
            env={"TORCHINDUCTOR_CACHE_DIR": str(kernels)},
        )
        losses.append(float(last_line(project)["train_loss"]))
    assert any(path.is_file() for path in kernels.rglob("*"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def kept(project: Path) -> set[str]:
    """The names of the checkpoints of steps."""
    return {path.name for path in (project / "models/checkpoints").glob("step-*.pt")}


def wait_for(
    process: subprocess.Popen, output: Path, holds: Callable[[], bool], timeout_s: float = 120
) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.02)


def result(project: Path) -> tuple[bytes, bytes]:
    """The weights, and the figures of each evaluation."""
    made = ("models/bundle/model.safetensors", "reports/history.csv")
    weights, figures = ((project / path).read_bytes() for path in made)
    return weights, figures


def last_line(project: Path) -> dict[str, str]:
    header, *lines = (project / "reports/history.csv").read_text().splitlines()
    return dict(zip(header.split(","), lines[-1].split(","), strict=True))

"""Several processes train one model, with torchrun and with Ray, and one of them is killed.

What one launcher gives is held against the others, file by file. The data is prepared once.
"""

import csv
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Render, Run, inside

pytestmark = pytest.mark.slow

THREE_EPOCHS = ("model=mlp", "training.epochs=3")
NO_DROPOUT = ("model.dropout=0", "model.word_dropout=0")
PER_EPOCH = ("train_loss", "validation_loss", "validation_accuracy", "learning_rate")
SAME_TO_ROUNDING = 1e-5
"""Relative; 7e-8 was measured. Gradients are summed in another order."""


@pytest.fixture(scope="module")
def prepared(render: Render, run_in: Run) -> Path:
    """A project with Ray, its data ready."""
    project = render(with_git=True, distributed="ray")
    run_in(project, "make", "fetch", "preprocess")
    return project


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it, in which nothing was trained."""
    return Path(shutil.copytree(prepared, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, run_in: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which torchrun's two processes trained three epochs without an accident."""
    folder = tmp_path_factory.mktemp("undisturbed") / "project"
    shutil.copytree(prepared, folder, symlinks=True)
    train(folder, run_in, "launcher=torchrun", *THREE_EPOCHS)
    return folder


@pytest.fixture(scope="module")
def ray_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A token, and a folder whose name is short enough for Ray's sockets."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text("3" * 64)
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": folder,
        }


def test_two_processes_do_what_one_does(project: Path, run_in: Run) -> None:
    settings = ("training=smoke", "model=mlp", *NO_DROPOUT)
    train(project, run_in, *settings)
    alone = history(project)
    for command in (
        ("python", "-m", "toy_project.train", "launcher=torchrun"),
        ("torchrun", "--nproc-per-node", "2", "-m", "toy_project.train"),
    ):
        run_in(project, *command, "tracking=none", *settings, timeout_s=300)
        together = history(project)
        assert [row["step"] for row in together] == [row["step"] for row in alone]
        for row, other in zip(alone, together, strict=True):
            for name in PER_EPOCH:
                expected = pytest.approx(float(row[name]), rel=SAME_TO_ROUNDING)
                assert float(other[name]) == expected, name


def test_torchrun_goes_on_when_a_worker_is_killed(
    project: Path, project_env: Path, undisturbed: Path
) -> None:
    """As the same tracked run, though it was told not to go on with an earlier one.

    Its checkpoints come between two logs, with figures of each process that wait for the next.
    """
    settings = ("launcher=torchrun", *THREE_EPOCHS, "resume=never")
    output = train_and_kill(
        project,
        *settings,
        "training.checkpoint_every_n_steps=7",
        "tracking.system_metrics=false",
        worker="multiprocessing.spawn",
        env=inside(project, project_env),
    )
    # On a slow machine the tracker has figures left, and says that it delivers them.
    restart = r"worker 1 was ended by SIGKILL: restart 1 of 2\n(run .*\n)?resuming after step \d+\n"
    assert re.search(restart, output), output
    assert result(project) == result(undisturbed)
    with sqlite3.connect(project / "mlflow.db") as database:
        runs = database.execute("SELECT run_uuid, status FROM runs").fetchall()
    lineage = json.loads((project / "models/bundle/lineage.json").read_text())
    assert runs == [(lineage["run_id"], "FINISHED")]


def test_a_signal_ends_all_of_torchruns_processes_after_the_same_step_and_they_go_on(
    project: Path, project_env: Path, run_in: Run, undisturbed: Path
) -> None:
    settings = ("launcher=torchrun", *THREE_EPOCHS, "tracking=none")
    command = ("python", "-m", "toy_project.train", *settings)
    with (project / "output.txt").open("w") as output:
        training = subprocess.Popen(
            command, cwd=project, env=inside(project, project_env), stdout=output, stderr=output
        )
        wait_for_checkpoint(project, training)
        training.terminate()
        code = training.wait(timeout=120)
    assert code == 128 + signal.SIGTERM, (project / "output.txt").read_text()
    again = run_in(project, *command, timeout_s=300)
    assert "resuming after step " in again.stderr
    assert result(project) == result(undisturbed)


@pytest.mark.nightly
def test_ray_goes_on_when_a_worker_is_killed(
    project: Path, project_env: Path, undisturbed: Path, ray_env: dict[str, str]
) -> None:
    output = train_and_kill(
        project,
        "launcher=ray",
        *THREE_EPOCHS,
        "tracking=none",
        worker="ray::RayTrainWorker",
        env=inside(project, project_env) | ray_env,
    )
    # Either rank may have started last, and Ray may first ask its peer, which lost the connection.
    assert re.search(r"worker [01] (was lost|failed: .*): restart 1 of 2\n", output), output
    assert "resuming after step 160\n" in output
    assert result(project) == result(undisturbed)
    assert not list((project / "models").glob(".ray-*"))


def test_a_job_on_a_cluster_gives_torchruns_result_and_needs_the_token(
    project: Path, project_env: Path, run_in: Run, undisturbed: Path, ray_env: dict[str, str]
) -> None:
    submit = ("make", "ray-submit", f"ARGS={' '.join(THREE_EPOCHS)} tracking=none")
    with head(inside(project, project_env) | ray_env) as (address, nodes):
        stranger = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
        refused = run_in(project, *submit, env=stranger, code=None, timeout_s=120)
        assert refused.returncode != 0
        assert "Missing authentication token" in refused.stderr, refused.stderr
        assert not (project / "models").exists()
        run_in(project, *submit, env={**ray_env, "RAY_ADDRESS": address}, timeout_s=300)
        assert result(project) == result(undisturbed)
        shutil.rmtree(project / "data/processed")
        expect_no_data(project, run_in, "launcher=ray", f"launcher.address={nodes}", **ray_env)


def test_an_error_of_the_user_is_one_line(project: Path, run_in: Run) -> None:
    shutil.rmtree(project / "data/processed")
    expect_no_data(project, run_in, "launcher=torchrun")


def expect_no_data(project: Path, run_in: Run, *settings: str, **env: str) -> None:
    command = ("python", "-m", "toy_project.train", "tracking=none", *settings)
    done = run_in(project, *command, code=1, env=env, timeout_s=300)
    message = "data/processed is missing; run `make preprocess` first, or `make repro` for all"
    assert (done.stdout, done.stderr) == ("", f"error: {message}\n")


def train(project: Path, run_in: Run, *settings: str) -> None:
    command = ("python", "-m", "toy_project.train", "tracking=none", *settings)
    run_in(project, *command, timeout_s=300)


def train_and_kill(project: Path, *settings: str, worker: str, env: dict[str, str]) -> str:
    """What a training printed of which the worker that started last was killed after an epoch."""
    with (project / "output.txt").open("w+") as output:
        command = ["python", "-m", "toy_project.train", *settings]
        training = subprocess.Popen(
            command, cwd=project, env=env, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_for_checkpoint(project, training)
            os.kill(max(processes(worker, of=env["PYTHONPATH"])), signal.SIGKILL)
            code = training.wait(timeout=300)
        finally:
            training.terminate()
            training.wait(timeout=60)
        text = Path(output.name).read_text()
    assert code == 0, text
    return text


def wait_for_checkpoint(project: Path, process: subprocess.Popen, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not list((project / "models/checkpoints").glob("step-*.pt")):
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.05)


def processes(name: str, *, of: str) -> list[int]:
    """The ids of the processes with `name` in their command and `of` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if name in command and of in (folder / "environ").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@contextmanager
def head(env: dict[str, str]) -> Generator[tuple[str, str]]:
    """A cluster of one node, on loopback, which ends with the block.

    Its address for jobs, and for other nodes.
    """
    port, dashboard_port = free_port(), free_port()
    command = ["ray", "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
    silent = subprocess.DEVNULL
    with subprocess.Popen(command, env=env, stdout=silent, stderr=silent) as node:
        try:
            wait_for_port(dashboard_port, node)
            yield f"http://127.0.0.1:{dashboard_port}", f"127.0.0.1:{port}"
        finally:
            node.terminate()  # with all that it started
            node.wait(timeout=60)
            wait_for_the_end(of=env["RAY_TMPDIR"])


def wait_for_the_end(*, of: str, timeout_s: float = 30) -> None:
    """Return when no process of the cluster is left; after a while, kill those that are."""
    deadline = time.monotonic() + timeout_s
    while (left := processes("ray", of=of)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for process in left:
        os.kill(process, signal.SIGKILL)


def wait_for_port(port: int, process: subprocess.Popen, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("the cluster did not start")


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def history(project: Path) -> list[dict[str, str]]:
    """The figures of each epoch."""
    with (project / "reports/history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def result(project: Path) -> tuple[bytes, bytes]:
    """All that a training leaves: the figures of each epoch, and the weights."""
    made = ("reports/history.csv", "models/bundle/model.safetensors")
    figures, weights = ((project / path).read_bytes() for path in made)
    return figures, weights

"""Runs whose server freezes, fails or dies: a real `mlflow server`."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from toy_project.artifacts import BUNDLE
from toy_project.config import TrackingConfig
from toy_project.tracking.base import (
    RunStatus,
    Tracker,
    create_tracker,
)
from toy_project.tracking.mlflow import delivery
from toy_project.tracking.mlflow import tracker as tracker_module

from ..conftest import make_config
from .mlflow_server import MlflowServer
from .proxy import Mode, Proxy

DELIVER = "python -m toy_project.tracking.mlflow.delivery"
CONFIG = TrackingConfig("mlflow", experiment="miniature", system_metrics=False)
STEPS = range(10, 2001, 10)
FIGURES: dict[str, Callable[[int], float]] = {"loss": lambda step: 1 / step, "learning_rate": float}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(server, workspace, monkeypatch) -> Iterator[Proxy]:
    """What the tracker takes for the server."""
    proxy = Proxy(server.port)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    yield proxy
    proxy.close()


@pytest.fixture
def bundle_here(bundle) -> Path:
    bundle.save(BUNDLE)
    return BUNDLE


KILLED = """
import os, signal, time
from toy_project.config import TrackingConfig
from toy_project.tracking.base import create_tracker
from toy_project.tracking.mlflow import tracker as module

module.START_AFTER_S = 0
config = TrackingConfig("mlflow", experiment="miniature", system_metrics=False)
tracker = create_tracker(config).start("a run")
for step in range(500):
    tracker.log_metrics({"loss": step}, step=step)
print(tracker.run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def train(tracker: Tracker) -> None:
    for step in STEPS:
        tracker.log_metrics({name: value(step) for name, value in FIGURES.items()}, step=step)


def assert_whole(uri: str, tracker: Tracker) -> Run:
    """Every point is there once, and the run has ended; return it."""
    client = MlflowClient(uri)
    assert tracker.run_id
    for name, value in FIGURES.items():
        points = [(p.step, p.value) for p in client.get_metric_history(tracker.run_id, name)]
        assert points == [(step, value(step)) for step in STEPS]
    run = client.get_run(tracker.run_id)
    assert run.info.status == RunStatus.finished
    return run


def folders(uri: str, tracker: Tracker) -> set[str]:
    assert tracker.run_id
    files = MlflowClient(uri).list_artifacts(tracker.run_id)
    return {file.path for file in files if file.is_dir}


def journals() -> list[Path]:
    return list(Path(".tracking").glob("*"))


def test_a_frozen_server_holds_nothing_up(server, proxy, bundle_here, caplog):
    caplog.set_level("INFO")
    tracker = create_tracker(CONFIG).start("a run")
    server.freeze()
    try:
        started = time.monotonic()
        tracker.log_config(replace(make_config(), seed=7), tags={"data_hash": "abc"})
        train(tracker)
        assert time.monotonic() - started < 1
        tracker.log_folder(bundle_here, "model")
        tracker.finish()
        assert time.monotonic() - started < 10
    finally:
        server.thaw()
    [folder] = journals()
    waiting = f"run {tracker.run_id} is not delivered yet: the rest waits in {folder}"
    assert caplog.messages == [
        f"run {tracker.run_id}: no answer from the tracking server {proxy.uri}; "
        "start it, or unset MLFLOW_TRACKING_URI to record in mlflow.db",
        f"{waiting}; deliver it with `{DELIVER}`",
    ]
    caplog.clear()
    assert delivery.deliver_leftovers()
    assert caplog.messages == [f"run {tracker.run_id}: what was left is delivered"]
    run = assert_whole(server.uri, tracker)
    assert run.data.tags["data_hash"] == "abc"
    assert run.data.params["seed"] == "7"
    assert folders(server.uri, tracker) == {"model"}
    assert journals() == []


def test_answers_that_are_lost_double_nothing_and_the_next_run_delivers(server, proxy):
    tracker = create_tracker(CONFIG).start("a run")
    train(tracker)
    proxy.mode = Mode.loses_answers
    tracker.finish()
    assert proxy.has_lost.is_set()
    assert [path.stem for path in journals()] == [tracker.run_id]
    proxy.mode = Mode.passes
    with create_tracker(CONFIG).start("a run"):
        pass
    assert_whole(server.uri, tracker)
    assert journals() == []


def test_a_long_run_is_delivered_while_it_lasts_and_outages_are_logged_twice(
    server, proxy, capfd, monkeypatch
):
    monkeypatch.setattr(tracker_module, "START_AFTER_S", 0)
    client, deadline = MlflowClient(server.uri), time.monotonic() + 90
    tracker = create_tracker(CONFIG).start("a run")
    proxy.mode = Mode.fails
    train(tracker)
    err = ""
    while "Training continues; figures wait in" not in err:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        err += capfd.readouterr().err
    proxy.mode = Mode.passes
    while len(client.get_metric_history(tracker.run_id, "loss")) < len(STEPS):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    [folder] = journals()
    tracker.finish()
    warning, all_clear = (err + capfd.readouterr().err).splitlines()
    assert warning.endswith(f"Training continues; figures wait in {folder}")
    assert all_clear == "the tracking server answers again: all is delivered"
    assert_whole(server.uri, tracker)
    assert journals() == []


def test_a_run_whose_process_is_killed_is_delivered_by_the_one_that_forwards(
    server, proxy, tmp_path
):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    run_id = process.stdout.readline().strip()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    client, deadline = MlflowClient(server.uri), time.monotonic() + 60
    while len(client.get_metric_history(run_id, "loss")) < 500:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    while journals():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    tracker = create_tracker(CONFIG).start("a run", run_id=run_id)
    tracker.finish()
    assert [m.step for m in client.get_metric_history(run_id, "loss")] == list(range(500))
    assert journals() == []


def test_a_folder_is_delivered_as_it_was(server, proxy, bundle_here, tmp_path):
    tracker = create_tracker(CONFIG).start("a run")
    train(tracker)
    proxy.mode = Mode.fails
    tracker.log_folder(bundle_here, "model")
    before = (bundle_here / "config.json").read_text("utf-8")
    tracker.finish()
    (bundle_here / "config.json").write_text("of another run", "utf-8")
    proxy.mode = Mode.passes
    assert delivery.deliver_leftovers()
    assert_whole(server.uri, tracker)
    MlflowClient(server.uri).download_artifacts(str(tracker.run_id), "model", str(tmp_path))
    assert (tmp_path / "model" / "config.json").read_text("utf-8") == before


def test_a_server_that_dies_ends_no_run_and_is_logged_in_one_line(
    server, proxy, monkeypatch, caplog
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    tracker = create_tracker(CONFIG).start("a run")
    server.kill()
    started = time.monotonic()
    train(tracker)
    tracker.finish()
    assert time.monotonic() - started < 10
    caplog.clear()
    assert not delivery.deliver_leftovers()
    assert caplog.messages == [
        f"run {tracker.run_id}: no answer from the tracking server {server.uri}; "
        "start it, or unset MLFLOW_TRACKING_URI to record in mlflow.db"
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.store)
    monkeypatch.setattr(sys, "argv", ["delivery"])
    with pytest.raises(SystemExit) as caught:
        delivery.main()
    assert caught.value.code == 0
    assert_whole(server.store, tracker)
    assert journals() == []

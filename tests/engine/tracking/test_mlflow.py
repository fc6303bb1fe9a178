import json
import math
import os
import random
import re
import shutil
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient
from toy_project import register
from toy_project.artifacts import BUNDLE, METRICS_JSON, PROCESSED
from toy_project.config import OptimizerConfig, TrackingConfig
from toy_project.lineage import dvc_hash
from toy_project.tracking.base import (
    RunStatus,
    Tracker,
    TrackingError,
    create_tracker,
    run_name,
)
from toy_project.tracking.mlflow import tracker as tracker_module
from toy_project.tracking.registry import create_registry

from ..conftest import make_config

NAMED = make_config(model={"name": "mlp"}, optimizer=OptimizerConfig(learning_rate=0.02))
CONFIG = TrackingConfig("mlflow", experiment="miniature", system_metrics=False)


@pytest.fixture
def client(tracking) -> MlflowClient:
    return MlflowClient()


@pytest.fixture
def tracker(tracking) -> Tracker:
    return create_tracker(CONFIG)


def test_a_run_holds_settings_and_what_they_were_at_last(client, tracker):
    with tracker.start("a run"):
        tracker.log_config(replace(make_config(), seed=7), tags={})
        tracker.log_config(replace(make_config(), seed=8), tags={})
    run = client.get_run(tracker.run_id)
    assert run.data.params["seed"] == "7"
    learning_rate = str(make_config().optimizer.learning_rate)
    assert run.data.params["optimizer.learning_rate"] == learning_rate
    assert run.data.params["training.monitor"] == "None"
    assert [file.path for file in client.list_artifacts(tracker.run_id)] == ["config.yaml"]
    settings = yaml.safe_load(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/config.yaml"))
    assert settings["seed"] == 8


def test_a_run_that_resumes_is_running_again(client, tracker):
    for _ in range(2):
        with tracker.start("a run", run_id=tracker.run_id):
            assert client.get_run(tracker.run_id).info.status == "RUNNING"
        assert client.get_run(tracker.run_id).info.status == "FINISHED"


def test_beginning_a_run_draws_nothing_from_the_seeded_generators(client, tracker):
    """Otherwise all runs of a seed would share a name, and tracking would change the weights."""
    names = []
    for _ in range(2):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        before = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()
        with create_tracker(CONFIG).start(run_name(NAMED)) as run:
            run.log_metrics({"loss": 1.0}, step=1)
        after = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()
        assert after == before
        names.append(client.get_run(run.run_id).info.run_name)
    assert names[0] != names[1]
    assert all(re.fullmatch("mlp-lr0.02-[0-9a-f]{4}", name) for name in names)


def test_numbers_that_are_not_finite_are_recorded_once_too(client, tracker):
    values = [0.1, math.nan, math.inf, -math.inf, -1e-300]
    for status in (RunStatus.failed, RunStatus.finished):
        tracker.start("a run", run_id=tracker.run_id)
        for step, value in enumerate(values):
            tracker.log_metrics({"loss": value}, step=step)
        tracker.finish(status)
    points = [(p.step, p.value) for p in client.get_metric_history(tracker.run_id, "loss")]
    largest = sys.float_info.max
    expected = [(0, 0.1), (1, math.nan), (2, largest), (3, -largest), (4, -1e-300)]
    assert str(points) == str(expected)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError, RunStatus.failed),
        (KeyboardInterrupt, RunStatus.killed),
        (SystemExit, RunStatus.killed),
    ],
)
def test_a_run_that_does_not_end_well_says_how(client, tracker, error, expected):
    with pytest.raises(error), tracker.start("a run"):
        raise error
    assert client.get_run(tracker.run_id).info.status == expected


def test_a_run_that_failed_and_resumes_has_each_point_once(client, tracker):
    with pytest.raises(ValueError), tracker.start("a run"):
        for step in (10, 20, 30):
            tracker.log_metrics({"loss": 1 / step}, step=step)
        raise ValueError
    assert list(Path(".tracking").iterdir()) == []
    with tracker.start("a run", run_id=tracker.run_id):
        for step in (20, 30, 40):
            tracker.log_metrics({"loss": 1 / step}, step=step)
    points = [(p.step, p.value) for p in client.get_metric_history(tracker.run_id, "loss")]
    assert points == [(10, 1 / 10), (20, 1 / 20), (30, 1 / 30), (40, 1 / 40)]


def test_a_run_that_was_finished_is_measured_again(client, tracker):
    for accuracy in (0.5, 0.75):
        with tracker.start("a run", run_id=tracker.run_id):
            tracker.log_metrics({"test_accuracy": accuracy}, step=0)
    assert client.get_run(tracker.run_id).data.metrics == {"test_accuracy": 0.75}


def test_an_unknown_or_deleted_run_is_replaced_by_a_new_one_and_logged(client, tracker, caplog):
    uri = os.environ["MLFLOW_TRACKING_URI"]
    caplog.set_level("INFO")
    with tracker.start("a run", run_id="0" * 32):
        assert tracker.run_id != "0" * 32
    assert caplog.messages == [f"run {'0' * 32} is not recorded at {uri}; a new run begins"]
    client.delete_run(tracker.run_id)
    with create_tracker(CONFIG).start("another", run_id=tracker.run_id) as again:
        assert again.run_id != tracker.run_id


def test_the_use_of_the_machine_is_recorded_while_a_run_lasts(client, tracking, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    monkeypatch.setattr(tracker_module, "START_AFTER_S", 0)
    config = replace(CONFIG, system_metrics=True)
    with create_tracker(config).start("a run") as tracker:
        tracker.log_metrics({"loss": 1.0}, step=1)
        deadline = time.monotonic() + 60
        while "system/cpu_utilization_percentage" not in (
            client.get_run(tracker.run_id).data.metrics
        ):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_project_that_was_moved_says_where_its_files_are(tmp_path, empty_database, monkeypatch):
    before, after = tmp_path / "a project #1", tmp_path / "moved"
    (before / "bundle").mkdir(parents=True)
    (before / "bundle" / "weights").write_text("1", "utf-8")
    (before / "mlflow.db").write_bytes(empty_database)
    monkeypatch.chdir(before)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{before}/mlflow.db")
    with create_tracker(CONFIG).start("a run") as tracker:
        version = create_registry(CONFIG).register(
            "m", before / "bundle", run=tracker, description="", tags={"bundle_sha256": "1"}
        )
    shutil.move(before, after)
    monkeypatch.chdir(after)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{after}/mlflow.db")
    old, new = (before / "mlruns").as_uri(), (after / "mlruns").as_uri()
    with pytest.raises(TrackingError) as caught:
        create_tracker(CONFIG).start("a run")
    assert str(caught.value) == (
        f"the files of experiment miniature are in {old}, not in {new}: move the project back, "
        "or begin another experiment with tracking.experiment=NAME"
    )
    with pytest.raises(
        TrackingError, match=r"^MLflow at sqlite:///.*: Failed to download artifacts"
    ):
        create_registry(CONFIG).download(version, tmp_path / "fetched")
    with create_tracker(replace(CONFIG, experiment="other")).start("a run") as tracker:
        create_registry(CONFIG).register(
            "m", after / "bundle", run=tracker, description="", tags={"bundle_sha256": "1"}
        )
    assert not before.exists()
    assert len(list((after / "mlruns").rglob("weights"))) == 2


def test_a_bundle_from_elsewhere_brings_its_own_run(
    client, processed, bundle, tracking, monkeypatch
):
    processed.save(PROCESSED)
    lineage = replace(bundle.lineage, run_id="0" * 32, data_hash=dvc_hash(PROCESSED))
    replace(bundle, lineage=lineage).save(BUNDLE)
    METRICS_JSON.parent.mkdir()
    METRICS_JSON.write_text(json.dumps({"accuracy": 0.75, "macro_f1": 0.5}), "utf-8")
    settings = ["registry.model_name=m", "registry.threshold=0.5"]
    monkeypatch.setattr(sys, "argv", ["register", *settings])
    register.main()
    version = client.get_model_version_by_alias("m", "champion")
    assert version.description.startswith("Test split: accuracy 0.7500, macro_f1 0.5000. Data ")
    run = client.get_run(version.run_id)
    assert run.info.status == RunStatus.finished
    assert run.data.metrics["test_macro_f1"] == 0.5
    assert run.data.tags["data_hash"] == lineage.data_hash
    folders = {file.path for file in client.list_artifacts(version.run_id)}
    assert folders == {"config.yaml", "model", "reports"}


def test_a_dead_server_is_named_without_its_password(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cret@127.0.0.1:{port}")
    started = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        create_tracker(CONFIG).start("a run", run_id="0" * 32)
    assert str(caught.value) == (
        f"no answer from the tracking server http://127.0.0.1:{port}; "
        "start it, or unset MLFLOW_TRACKING_URI to record in mlflow.db"
    )
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("make", [lambda path: path.write_text("no database"), Path.mkdir])
def test_what_is_no_database_is_named(workspace, monkeypatch, make):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make(Path("mlflow.db"))
    with pytest.raises(TrackingError, match=r"mlflow\.db is not a SQLite database; move it out of"):
        create_tracker(CONFIG)


@pytest.mark.parametrize("uri", ["nonsense://me:s3cret@x", "sqlite+nonsense:///x.db", "http:/x"])
def test_an_address_that_cannot_be_one_is_named_in_one_line(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingError, match=r"^MLflow at .*") as caught:
        create_tracker(CONFIG).start("a run")
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)

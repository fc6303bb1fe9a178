import json
import random
import re
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import wandb
from toy_project.config import OptimizerConfig
from toy_project.tracking.base import (
    RunStatus,
    TrackingError,
    create_tracker,
    run_name,
)
from toy_project.tracking.registry import create_registry

from ..conftest import make_config
from .wandb_store import recordings

NAMED = make_config(model={"name": "mlp"}, optimizer=OptimizerConfig(learning_rate=0.02))
NO_KEY = (
    "there is no key for Weights & Biases: "
    "run `wandb login`, set WANDB_API_KEY, or record offline with WANDB_MODE=offline"
)


@pytest.fixture
def online(tracking, workspace, monkeypatch):
    """W&B as it is for someone who never logged in."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(workspace / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(workspace / "config"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def bundle(tmp_path) -> Path:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "weights").write_text("1", "utf-8")
    return tmp_path / "bundle"


def test_what_an_offline_run_leaves(tracking, bundle):
    config = replace(make_config(), seed=7)
    tags = {"git_commit": "abc"}
    registry = create_registry(tracking)
    with create_tracker(tracking).start("a run") as tracker:
        tracker.log_config(config, tags=tags)
        tracker.log_metrics({"loss": 0.5}, step=1)
        tracker.log_folder(bundle, "model")
        tracker.log_folder(bundle, "reports")
        model = registry.register("name", bundle, run=tracker, description="good", tags=tags)
        registry.promote(model, run=tracker)
    [recording] = recordings()
    assert recording.project == "miniature"
    assert recording.config["lineage"] == tags
    assert {name: recording.config[name] for name in asdict(config)} == asdict(config)
    # What `*` stands for, wandb may say here or leave to the server.
    assert {"loss": "step"} | recording.x_axes == {"step": "", "*": "step", "loss": "step"}
    assert [(row["step"], row["loss"]) for row in recording.history] == [(1, 0.5)]
    assert [(a.name, a.type, a.description, sorted(a.aliases)) for a in recording.artifacts] == [
        ("model", "model", "", ["latest"]),
        ("reports", "reports", "", ["latest"]),
        ("name", "model", "good", ["latest"]),
        ("name", "model", "", ["champion", "latest"]),
    ]
    champion = recording.artifacts[-1]
    assert json.loads(champion.metadata) == tags
    [weights] = champion.manifest.contents
    assert weights.path == "weights"
    # `wandb sync` reads the files from here: a copy, in the project.
    staged = Path(weights.local_path)
    assert (staged.read_text("utf-8"), Path.cwd() in staged.parents) == ("1", True)
    assert champion.digest == recording.artifacts[0].digest


def test_beginning_a_run_draws_nothing_from_the_seeded_generators(tracking):
    """Otherwise all runs of a seed would share a name, and tracking would change the weights."""
    for _ in range(2):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        before = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()
        with create_tracker(tracking).start(run_name(NAMED)):
            pass
        after = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()
        assert after == before
    names = [recording.name for recording in recordings()]
    assert names[0] != names[1]
    assert all(re.fullmatch("mlp-lr0.02-[0-9a-f]{4}", name) for name in names)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError, RunStatus.failed),
        (KeyboardInterrupt, RunStatus.killed),
        (SystemExit, RunStatus.killed),
    ],
)
def test_a_run_that_does_not_end_well_says_how(tracking, error, expected):
    with pytest.raises(error), create_tracker(tracking).start("a run"):
        raise error
    assert [recording.status for recording in recordings()] == [expected]


def test_a_run_that_resumes_is_a_second_recording(tracking):
    with create_tracker(tracking).start("a run") as tracker:
        tracker.log_config(make_config(), tags={})
    with create_tracker(tracking).start("another", run_id=tracker.run_id) as again:
        again.log_config(replace(make_config(), seed=1), tags={})
    assert [r.run_id for r in recordings()] == [tracker.run_id] * 2
    assert [r.config["seed"] for r in recordings()] == [0, 1]


def test_an_unknown_run_is_replaced_by_a_new_one_and_logged(tracking, caplog):
    caplog.set_level("INFO")
    with create_tracker(tracking).start("a run", run_id="0" * 32) as tracker:
        assert tracker.run_id != "0" * 32
    said = [record.message for record in caplog.records if record.name.endswith(".tracker")]
    place = Path.cwd() / "wandb"
    assert said == [f"run {'0' * 32} is not recorded in {place}; a new run begins"]


def test_system_metrics_are_recorded(tracking, monkeypatch):
    monkeypatch.setenv("WANDB_X_STATS_SAMPLING_INTERVAL", "0.1")
    wandb.teardown()
    for wanted in (True, False):
        with create_tracker(replace(tracking, system_metrics=wanted)).start("a run"):
            time.sleep(0.5)
    assert [recording.has_stats for recording in recordings()] == [True, False]


def test_it_is_quiet(tracking, bundle, capfd):
    with create_tracker(tracking).start("a run") as tracker:
        tracker.log_folder(bundle, "model")
    wandb.teardown()
    assert capfd.readouterr() == ("", "")


def test_a_name_that_no_artifact_may_have_is_named(tracking, bundle):
    message = "Weights & Biases: Artifact name may only contain .* Invalid name: 'a name'"
    registry, run = create_registry(tracking), create_tracker(tracking).start("a run")
    with run, pytest.raises(TrackingError, match=message):
        registry.register("a name", bundle, run=run, description="", tags={})


def test_without_a_key_nothing_begins(tracking, online):
    with pytest.raises(TrackingError) as caught:
        create_tracker(tracking)
    assert str(caught.value) == NO_KEY
    assert recordings() == []


def test_a_key_that_cannot_be_one_is_named_without_it(tracking, online, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "s3cret")
    with pytest.raises(TrackingError) as caught:
        create_tracker(tracking)
    assert str(caught.value) == (
        "Weights & Biases: WANDB_API_KEY invalid: API key must have 40+ characters, has 6."
    )


def test_a_server_that_does_not_answer_is_named(tracking, online, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    with pytest.raises(TrackingError) as caught:
        create_tracker(tracking).start("a run")
    assert str(caught.value) == (
        "no answer from Weights & Biases; try again, or record offline with WANDB_MODE=offline"
    )


def test_recording_nothing_is_another_setting(tracking, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(TrackingError) as caught:
        create_tracker(tracking)
    assert str(caught.value) == (
        "WANDB_MODE=disabled records nothing; set tracking=none, or unset it"
    )

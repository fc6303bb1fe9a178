"""A tracked run tells with what it was made: every argument, the code, the packages."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from toy_project import fetch, preprocess, train
from toy_project.artifacts import BUNDLE

from . import commands

SETTINGS = ("data.path=table.csv", "model=mlp", "training.max_steps=1", "tracking.experiment=one")


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(tracking) -> None:
    """A project with data, committed to git, and a store of the tracker in it."""
    rows = "".join(f"word n{i},{'ab'[i % 2]}\n" for i in range(36))
    Path("table.csv").write_text(f"text,label\n{rows}", "utf-8")
    Path("code.py").write_text("rate = 1\n", "utf-8")
    git("init")
    git("add", "code.py")
    git("commit", "--message", "first")
    assert commands.run(fetch, preprocess, settings=SETTINGS) is None


def artifacts(name: str) -> dict[str, bytes]:
    """Return the files that the last run holds under `name`."""
    [run_id, *_] = [run.info.run_id for run in runs()]
    fetched = Path(download_artifacts(run_id=run_id, artifact_path=name))
    return {path.name: path.read_bytes() for path in fetched.iterdir()}


def runs() -> list:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("one")
    assert experiment
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])


def test_the_uncommitted_change_and_the_packages_are_recorded_and_not_in_the_bundle(project):
    assert commands.run(train, settings=SETTINGS) is None
    assert artifacts("code").keys() == {"packages.txt"}
    packages = artifacts("code")["packages.txt"].decode().splitlines()
    assert f"torch=={version('torch')}" in packages
    assert packages == sorted(set(packages), key=str.lower)

    Path("code.py").write_text("rate = 2\n", "utf-8")
    git("config", "color.ui", "always")
    git("config", "diff.external", "false")
    assert commands.run(train, settings=SETTINGS) is None
    patch = artifacts("code")["diff.patch"]
    assert b"-rate = 1\n+rate = 2\n" in patch
    git("checkout", "code.py")
    Path("again.patch").write_bytes(patch)
    git("apply", "again.patch")
    assert Path("code.py").read_text("utf-8") == "rate = 2\n"
    assert not {"diff.patch", "packages.txt"} & {path.name for path in BUNDLE.iterdir()}


def test_a_large_change_is_cut_off(project):
    Path("code.py").write_text("rate = 2\n" * 200_000, "utf-8")
    assert commands.run(train, settings=SETTINGS) is None
    patch = artifacts("code")["diff.patch"]
    assert len(patch) < 2**20 + 100
    assert patch.startswith(b"Cut off after 1048576 bytes.\ndiff --git a/code.py b/code.py\n")


def test_without_a_tracker_nothing_is_recorded(project):
    assert commands.run(train, settings=(*SETTINGS, "tracking=none")) is None
    assert not Path("models/code").exists()


@pytest.mark.parametrize(
    ("optimizer", "recorded"),
    [
        ("adamw", {"betas": "[0.9, 0.999]", "eps": "1e-08"}),
        ("muon", {"momentum": "0.95", "betas": "[0.9, 0.999]"}),
        (
            "sgd",
            {
                **{"momentum": "0.9", "dampening": "0", "nesterov": "True", "maximize": "False"},
                **{"foreach": "None", "differentiable": "False", "fused": "None"},
            },
        ),
    ],
)
def test_every_argument_of_the_optimizer_is_recorded(project, optimizer, recorded):
    settings = (*SETTINGS, f"optimizer={optimizer}")
    assert commands.run(train, settings=settings) is None
    prefix = "optimizer.arguments."
    parameters = runs()[0].data.params
    found = {name: value for name, value in parameters.items() if name.startswith(prefix)}
    assert found == {f"{prefix}{name}": value for name, value in recorded.items()}
    assert float(parameters["optimizer.weight_decay"]) > 0

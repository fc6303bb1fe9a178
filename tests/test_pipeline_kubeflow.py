"""The pipeline of a project with orchestration=kubeflow: compiled, and run on this machine.

KFP's local runner starts each step as a process of its own and hands it its artifacts; a cluster
there is none.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import Render, Run
from test_pipeline_dvc import git, replace, write_csv

pytestmark = pytest.mark.slow

SMOKE = "training=smoke model=mlp"
STEPS = ["fetch", "preprocess", "train", "evaluate", "register"]


@pytest.fixture(scope="module")
def original(render: Render) -> Path:
    """A project with a small CSV of its own in its configs, which has not run anything yet."""
    project = render(with_git=True, orchestration="kubeflow")
    write_csv(project / "data/external/mine.csv", per_label=60)
    replace(project / "configs/data/docstrings.yaml", "path: null", "path: data/external/mine.csv")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=Change")
    return project


@pytest.fixture
def project(original: Path, tmp_path: Path) -> Path:
    """A copy of the project, to be changed at will."""
    return Path(shutil.copytree(original, tmp_path / "project", symlinks=True))


def test_two_compiles_are_equal_to_the_byte_and_say_nothing_of_kfp(
    project: Path, original: Path, run_in: Run
) -> None:
    """In another folder too, and whatever lies in it."""
    compiled = []
    for folder in (project, project, original):
        done = run_in(folder, "make", "--silent", "pipeline")
        line = f"pipelines/pipeline.yaml: {' -> '.join(STEPS)}\n"
        assert (done.stdout, done.stderr) == ("", line)
        compiled.append((folder / "pipelines/pipeline.yaml").read_bytes())
    assert compiled[0] == compiled[1] == compiled[2]
    assert git(project, "status", "--porcelain") == ""


def test_a_local_run_trains_and_registers(project: Path, run_in: Run) -> None:
    done = run_in(project, "make", "pipeline-local", f"ARGS={SMOKE} registry.threshold=0")
    lines = re.findall(r"^\[(\w+)\] (.*)$", done.stdout, flags=re.MULTILINE)
    assert list(dict.fromkeys(step for step, _ in lines)) == STEPS
    assert lines[-1] == ("register", "toy-project is now the champion: version 1")
    assert not re.search("KFP|WARNING|finished with status", done.stdout + done.stderr)

    [run] = (project / "pipelines/runs").glob("*/")
    bundle = run / "train/models_bundle"
    assert json.loads((bundle / "config.json").read_text())["model"]["name"] == "mlp"
    lineage = json.loads((bundle / "lineage.json").read_text())
    assert lineage["git_commit"] == git(project, "rev-parse", "HEAD").strip()
    assert lineage["git_dirty"] is False
    figures = json.loads((run / "evaluate/reports_metrics_json").read_text())
    assert 0 < figures["accuracy"] <= 1

    # Nothing came from, or went to, where the stages themselves work; and DVC has cached nothing.
    for place in ("data/raw/dataset.parquet", "data/processed", "models", "reports", "params.yaml"):
        assert not (project / place).exists(), place
    assert not (project / ".dvc/cache").exists()
    assert git(project, "status", "--porcelain") == ""

    # The run of `train` is the run that `register` continued, in the project's own store.
    ask = (
        "from mlflow import MlflowClient; client = MlflowClient('sqlite:///mlflow.db'); "
        "print(client.get_model_version_by_alias('toy-project', 'champion').run_id)"
    )
    assert run_in(project, "python", "-c", ask).stdout.strip() == lineage["run_id"]


def test_a_failing_gate_fails_the_run_with_its_reason(project: Path, run_in: Run) -> None:
    settings = f"{SMOKE} registry.threshold=1 tracking=none"
    command = ("python", "-m", "toy_project.pipelines.local", *settings.split())
    done = run_in(project, *command, code=1)
    reason = r"not registered: accuracy is 0\.\d{4}, registry\.threshold is 1"
    assert re.search(rf"^\[register\] error: {reason}$", done.stdout, flags=re.MULTILINE)
    line = rf"error: register failed: {reason}; KFP's own log is pipelines/runs/kfp\.log\n"
    assert re.fullmatch(line, done.stderr)


def test_a_wrong_setting_ends_in_one_line_before_anything_runs(project: Path, run_in: Run) -> None:
    command = ("python", "-m", "toy_project.pipelines.local", "training.epoch=1")
    done = run_in(project, *command, code=1)
    line = "error: training.epoch is not a setting; did you mean epochs?\n"
    assert (done.stdout, done.stderr) == ("", line)

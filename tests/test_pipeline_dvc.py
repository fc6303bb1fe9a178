"""DVC in a rendered project: what runs again and what does not, experiments, and remote storage.

One project goes through its pipeline; each test works on a copy of it.
"""

import csv
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import Render, Run, inside

pytestmark = pytest.mark.slow

WORDS = {
    "animals": ("cat", "dog", "horse", "sparrow", "whale"),
    "plants": ("oak", "rose", "fern", "moss", "birch"),
    "stones": ("granite", "basalt", "marble", "slate", "flint"),
}
"""Words by which the labels of a small dataset can be told apart."""

FAST = {
    "- model: transformer": "- model: mlp",
    "- training: default": "- training: smoke",
    "- tracking: mlflow": "- tracking: none",
}
"""Defaults in configs/config.yaml under which the whole pipeline takes seconds."""

ALL_STAGES = ["fetch", "preprocess", "train", "evaluate"]


@pytest.fixture(scope="module")
def original(render: Render, run_in: Run) -> Path:
    """A project with a CSV of its own that has gone through its pipeline, and is committed."""
    project = render(with_git=True)
    for old, new in FAST.items():
        replace(project / "configs/config.yaml", old, new)
    write_csv(project / "data/external/mine.csv", per_label=60)
    replace(project / "configs/data/docstrings.yaml", "path: null", "path: data/external/mine.csv")
    assert stages_run(repro(project, run_in)) == ALL_STAGES
    commit_all(project)
    return project


@pytest.fixture
def project(original: Path, tmp_path: Path) -> Path:
    """A copy of the project, to be changed at will."""
    return Path(shutil.copytree(original, tmp_path / "project", symlinks=True))


def test_a_csv_of_ones_own_needs_one_setting(original: Path, run_in: Run) -> None:
    [package] = [path.parent.name for path in (original / "src").glob("*/train.py")]
    code = f"import json; from {package}.data.rows import Rows; from pathlib import Path; "
    code += "path = Path('data/raw/dataset.parquet'); "
    code += "print(json.dumps([row.values for row in Rows(path)]))"
    read_rows = json.loads(run_in(original, "python", "-c", code).stdout)
    with (original / "data/external/mine.csv").open(encoding="utf-8", newline="") as file:
        assert read_rows == [*csv.DictReader(file)]
    spec = json.loads(read(original / "data/processed/spec.json"))
    assert spec["objective"]["labels"] == sorted(WORDS)


def test_the_second_repro_runs_nothing_and_leaves_nothing_to_commit(
    project: Path, run_in: Run
) -> None:
    assert stages_run(repro(project, run_in)) == []
    assert git(project, "status", "--porcelain") == ""


def test_another_model_setting_trains_and_evaluates_only(project: Path, run_in: Run) -> None:
    before = read(project / "models/bundle/config.json")
    replace(project / "configs/model/mlp.yaml", "hidden_size: 64", "hidden_size: 16")
    assert stages_run(repro(project, run_in)) == ["train", "evaluate"]
    assert read(project / "models/bundle/config.json") != before
    assert stages_run(repro(project, run_in)) == []


def test_an_experiment_trains_with_its_setting_as_the_stage_itself_does(
    project: Path, run_in: Run
) -> None:
    """The trap: DVC records `-S` while the stage composes its own configuration and ignores it."""
    setting = "optimizer.learning_rate=0.05"
    before = losses(project)
    experiment = run_in(project, "dvc", "exp", "run", "--set-param", setting).stdout
    assert stages_run(experiment) == ["train", "evaluate"]
    by_dvc = losses(project)
    assert by_dvc != before
    assert "learning_rate: 0.05" in read(project / "params.yaml")

    run_in(project, "make", "train", f"ARGS={setting} resume=never")
    assert losses(project)["train_loss"] == by_dvc["train_loss"]


def test_a_sweep_records_an_experiment_for_each_point(project: Path, run_in: Run) -> None:
    before = losses(project)
    run_in(project, "make", "sweep", "GRID=optimizer.learning_rate=0.05")
    table = run_in(project, "dvc", "exp", "show", "--csv").stdout.splitlines()
    done = [row for row in csv.DictReader(table) if row["State"] == "Success"]
    assert [row["optimizer.learning_rate"] for row in done] == ["0.05"]
    assert float(done[0]["loss"]) != before["test_loss"]
    assert losses(project) == before, "a sweep leaves the working tree as it was"


def test_values_of_an_experiment_are_kept_or_said_to_be_overwritten(
    project: Path, run_in: Run
) -> None:
    set_params = ("--set-param=optimizer.learning_rate=0.05", "--set-param=seed=3")
    run_in(project, "dvc", "exp", "run", "--name=winner", *set_params)
    trained = read(project / "models/bundle/config.json")
    told = run_in(project, "make", "params").stderr
    assert told == (
        "params.yaml: optimizer.learning_rate=0.05 (now 0.003), seed=3 (now 0) overwritten by "
        "configs/; `make keep EXP=name` writes the values of an experiment there\n"
    )
    assert run_in(project, "make", "params").stderr == ""

    replace(project / "configs/optimizer/adamw.yaml", "0.003", "0.003  # ours")
    kept = run_in(project, "make", "keep", "EXP=winner").stdout
    assert "configs/optimizer/adamw.yaml: learning_rate: 0.05\n" in kept
    assert "configs/config.yaml: seed: 3\n" in kept
    assert "\nlearning_rate: 0.05  # ours\n" in read(project / "configs/optimizer/adamw.yaml")
    assert run_in(project, "make", "params").stderr == ""
    assert stages_run(repro(project, run_in)) == []
    assert read(project / "models/bundle/config.json") == trained


def test_an_experiment_that_is_not_there_cannot_be_kept(project: Path, run_in: Run) -> None:
    refused = run_in(project, "make", "keep", "EXP=nope", code=2).stderr
    assert "error: there is no experiment 'nope'; `dvc exp list --all` lists them\n" in refused


def test_the_pipeline_begins_anew_where_a_trial_left_other_settings(
    project: Path, run_in: Run, project_env: Path
) -> None:
    """A trial that was interrupted must not block `make repro`; by hand the user decides."""
    replace(project / "configs/config.yaml", "seed: 0", "seed: 1")
    trial = ("training.max_steps=100000", "training.epochs=100000", "model.hidden_size=16")
    interrupt_training(project, project_env, *trial)
    refused = run_in(project, "make", "train", code=2).stderr
    assert "model.hidden_size=16 (now 64)" in refused
    assert 'make train ARGS="resume=never"' in refused

    done = run_in(project, "make", "repro")
    assert stages_run(done.stdout) == ["train", "evaluate"]
    assert "model.hidden_size=16 (now 64)" in done.stderr
    assert "; training starts again\n" in done.stderr


def test_a_fresh_clone_pulls_and_has_nothing_to_run(
    project: Path, run_in: Run, tmp_path: Path
) -> None:
    run_in(project, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    commit_all(project)
    run_in(project, "dvc", "push")

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(project), str(clone))
    assert not (clone / "models").exists()
    run_in(clone, "dvc", "pull")
    assert stages_run(repro(clone, run_in)) == []
    for made in ("models/bundle/model.safetensors", "reports/metrics.json"):
        assert (clone / made).read_bytes() == (project / made).read_bytes()


def test_dvc_reports_to_nobody(project: Path, run_in: Run) -> None:
    ask = "from dvc.analytics import is_enabled; print(is_enabled())"
    assert run_in(project, "python", "-c", ask).stdout.strip() == "False"
    assert run_in(project, "dvc", "config", "core.check_update").stdout.strip() == "false"

    run_in(project, "dvc", "config", "core.analytics", "true")
    assert run_in(project, "python", "-c", ask).stdout.strip() == "True", "the question is no test"


def interrupt_training(project: Path, env: Path, *settings: str) -> None:
    """Train with these settings by hand until there is a checkpoint, then press Ctrl-C."""
    train = [str(env / "bin/python"), "-m", "toy_project.train", *settings]
    process = subprocess.Popen(train, cwd=project, env=inside(project, env))
    deadline = time.monotonic() + 120
    while not list((project / "models/checkpoints").glob("step-*.pt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 128 + signal.SIGINT


def repro(project: Path, run_in: Run) -> str:
    """What `make repro` printed."""
    return run_in(project, "make", "repro").stdout


def stages_run(output: str) -> list[str]:
    """The stages that DVC ran, in order."""
    return re.findall(r"^Running stage '(\w+)'", output, flags=re.MULTILINE)


def losses(project: Path) -> dict[str, float]:
    """The loss in training and on the test split."""
    with (project / "reports/history.csv").open(encoding="utf-8") as file:
        *_, last = csv.DictReader(file)
    metrics = json.loads(read(project / "reports/metrics.json"))
    return {"train_loss": float(last["train_loss"]), "test_loss": metrics["loss"]}


def write_csv(path: Path, *, per_label: int) -> None:
    """Write texts of 3 to 9 words with the columns text and label, no two alike."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        for label, words in WORDS.items():
            for number in range(per_label):
                chosen = [words[number * (place + 1) % 5] for place in range(2 + number % 7)]
                writer.writerow((" ".join([*chosen, f"n{number}"]), label))


def replace(path: Path, old: str, new: str) -> None:
    """Change the one place where `old` stands."""
    text = read(path)
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def commit_all(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=Change")


def git(folder: Path, *arguments: str) -> str:
    """What git printed."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout

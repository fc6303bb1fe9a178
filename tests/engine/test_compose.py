import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from miniature import CONFIGS, compose
from toy_project import train
from toy_project.compose import main as write_params

MODELS = ", ".join(sorted(path.stem for path in CONFIGS.glob("model/*.yaml")))


def test_an_experiment_overrides_what_it_names():
    assert compose("experiment=fast_mlp").model["name"] == "mlp"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("training.epoch=1", "training.epoch is not a setting; did you mean epochs?"),
        ("+training.epoch=1", "training.epoch is not a setting; did you mean epochs?"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate must be > 0, got -1.0"),
        ("resume=", "resume must be auto, never or a checkpoint, got ''"),
        ("seed=x", "seed must be of type int, got 'x'"),
        ("model=nope", f"model must be one of {MODELS}, got 'nope'"),
    ],
)
def test_a_wrong_argument_ends_in_one_line(argument, message, workspace, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train", argument])
    with pytest.raises(SystemExit, match=f"^error: {re.escape(message)}$"):
        train.main()
    assert capsys.readouterr() == ("", "")


def test_a_wrong_argument_is_found_without_heavy_imports():
    module = "toy_project.train"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, "training.epochs=0"],
        capture_output=True,
        text=True,
        check=False,
        cwd=CONFIGS.parent,
    )
    *imports, message = done.stderr.splitlines()
    assert (done.returncode, message) == (1, "error: training.epochs must be >= 1, got 0")
    imported = {line.rpartition("|")[2].strip() for line in imports}
    assert "hydra" in imported
    assert not {"torch", "sklearn", compose().tracking.name} & imported


def test_a_stage_outside_the_project_says_where_to_go(tmp_path):
    command = [sys.executable, "-m", "toy_project.fetch"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    message = "error: there is no configs/ here; run this in the project's root\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_params_yaml_is_what_configs_compose(workspace, monkeypatch):
    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["compose", *arguments])
        write_params()

    run()
    assert yaml.safe_load(Path("params.yaml").read_text("utf-8"))["model"]["name"] == "transformer"
    run("model=mlp", "training.epochs=9")
    params = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    assert (params["model"]["name"], params["training"]["epochs"]) == ("mlp", 9)
    with pytest.raises(SystemExit, match=r"^error: training.epochs must be >= 1, got 0$"):
        run("training.epochs=0")
    assert yaml.safe_load(Path("params.yaml").read_text("utf-8")) == params

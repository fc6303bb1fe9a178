"""Defaults stand in dataclasses and again in configs/: both say the same, and nothing else."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import hydra
import pytest
from miniature import CONFIGS
from toy_project import fetch, preprocess, serve, train
from toy_project.compose import to_config
from toy_project.config import Config, DataConfig
from toy_project.data.encoder import encoder_settings
from toy_project.models.base import model_settings
from toy_project.objectives.base import objective_settings
from toy_project.rules import flat
from toy_project.serving.config import ServeConfig

from . import commands

NOT_THE_SAME = {
    "registry.model_name": "the project's name",
    "serving.name": "the project's server",
    "tracking.experiment": "the project's name",
    "tracking.name": "the project's tracker; none where nothing was composed, as in a worker",
}


def choices(group: str) -> list[str]:
    return [f"{group}={path.stem}" for path in sorted((CONFIGS / group).glob("*.yaml"))]


def every_setting(config: Config) -> dict[str, str]:
    """Return all settings, those that a piece brings itself among them."""
    encoder = asdict(encoder_settings(config.data.encoder))
    complete = replace(
        config,
        data=replace(config.data, encoder=encoder),
        model=asdict(model_settings(config.model)),
        objective=asdict(objective_settings(config.objective)),
    )
    return flat(asdict(complete))


@pytest.mark.parametrize(
    "choice", ["", *choices("model"), *choices("objective"), *choices("serving")]
)
def test_yaml_repeats_the_defaults_of_the_dataclasses(choice):
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = hydra.compose("serve", [choice] if choice else [])
    config = to_config(composed, ServeConfig)
    default = ServeConfig(
        data=DataConfig(
            name=config.data.name,
            columns=config.data.columns,
            encoder={"name": config.data.encoder["name"]},
        ),
        model={"name": config.model["name"]},
        objective={"name": config.objective["name"]},
    )
    theirs, ours = every_setting(config), every_setting(default)
    chosen = {f"{choice.partition('=')[0]}.name"}
    differing = {name for name in ours if theirs[name] != ours[name]}
    assert differing - chosen == NOT_THE_SAME.keys() - chosen
    assert theirs.keys() == ours.keys()


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project with a copy of the configs."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CONFIGS, "configs")
    rows = "".join(f"word n{i},{'ab'[i % 2]}\n" for i in range(36))
    Path("table.csv").write_text(f"text,label\n{rows}", "utf-8")
    return tmp_path


SMALL = (
    "data.path=table.csv",
    "model=mlp",
    "optimizer=muon",
    "training.max_steps=1",
    "tracking=none",
)


@pytest.mark.parametrize(
    ("file", "line", "key", "near"),
    [
        ("config.yaml", "  tolerence: 1", "registry.tolerence", "tolerance"),
        ("config.yaml", "sed: 1", "sed", "seed"),
        ("data/docstrings.yaml", "pathh: 1", "data.pathh", "path"),
        ("data/docstrings.yaml", "  max_token: 1", "data.encoder.max_token", "max_tokens"),
        ("launcher/local.yaml", "num_worker: 1", "launcher.num_worker", "num_workers"),
        ("model/mlp.yaml", "drop_out: 0", "model.drop_out", "dropout"),
        ("objective/classification.yaml", "label: []", "objective.label", "labels"),
        ("optimizer/muon.yaml", "nam: 1", "optimizer.nam", "name"),
        ("serving/fastapi.yaml", "prot: 1", "serving.prot", "port"),
        ("tracking/none.yaml", "nam: 1", "tracking.nam", "name"),
        ("training/default.yaml", "epoch: 1", "training.epoch", "epochs"),
    ],
)
def test_an_unknown_key_in_a_file_ends_in_one_line(project, file, line, key, near):
    error = f"error: {key} is not a setting; did you mean {near}?"
    assert with_line(project / "configs" / file, line) == error


def test_an_unknown_argument_of_an_optimizer_ends_in_one_line(project):
    error = "error: optimizer.arguments must be among momentum, betas, got 'momentums'"
    assert with_line(project / "configs/optimizer/muon.yaml", "  momentums: 1") == error


def with_line(path: Path, line: str) -> str | None:
    """Return the error that a line more in a config leads to."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    stages = [serve] if path.parent.name == "serving" else [fetch, preprocess, train]
    return commands.run(*stages, settings=SMALL)

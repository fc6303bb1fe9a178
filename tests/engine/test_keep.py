"""The values of params.yaml written into configs/, in place."""

import shutil
from pathlib import Path

import pytest
import yaml
from toy_project.artifacts import PARAMS
from toy_project.compose import compose, read_params, write_params
from toy_project.errors import ProjectError
from toy_project.keep import in_one_line, keep, with_value

TEXT = """\
# Of the optimizer.
name: SGD  # PyTorch's
learning_rate: 0.1   # with care
arguments:
  momentum: 0.9
  # A comment inside.
  nesterov: true  # and at an end
# Another.
names:
  - a
  - b  # the second
flow: {a: 1}
empty: {}
nothing:
"""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("learning_rate",), 1e-05),
        (("name",), "no"),
        (("arguments", "momentum"), 0.5),
        (("arguments", "betas"), [0.9, 0.99]),
        (("names",), ["c: d"]),
        (("flow", "a"), None),
        (("flow", "b"), True),
        (("empty",), {"a": {"b": "ü"}}),
        (("nothing",), "several words\nin lines"),
        (("new", "deep", "er"), 3),
    ],
)
def test_one_value_changes_and_no_comment_is_lost(key, value):
    changed = with_value(TEXT, key, in_one_line(value))
    expected = yaml.safe_load(TEXT)
    parent = expected
    for name in key[:-1]:
        parent = parent.setdefault(name, {})
    parent[key[-1]] = value
    assert yaml.safe_load(changed) == expected
    comments = [line.partition("#")[2] for line in TEXT.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in changed.splitlines() if "#" in line] == comments


@pytest.mark.parametrize("text", ["", "# Nothing yet.\n"])
def test_a_file_without_values_gets_one(text):
    changed = with_value(text, ("a", "b"), "1")
    assert yaml.safe_load(changed) == {"a": {"b": 1}}
    assert changed.startswith(text)


@pytest.fixture
def project(workspace: Path) -> Path:
    """A project whose configs/ may be changed."""
    configs = workspace / "configs"
    original = configs.resolve()
    configs.unlink()
    shutil.copytree(original, configs)
    write_params(compose()[0])
    return workspace


def change_params(**values: object) -> None:
    params = read_params()
    for name, value in values.items():
        section, _, key = name.partition("__")
        if key:
            params[section][key] = value
        else:
            params[section] = value
    PARAMS.write_text(yaml.safe_dump(params), "utf-8")


def test_each_value_goes_to_the_file_that_sets_it(project, capsys):
    change_params(seed=5, training__epochs=7, registry__threshold=0.5, data__split_seed=1)
    wanted = read_params()
    assert sorted(keep()) == [
        "configs/config.yaml: registry.threshold: 0.5",
        "configs/config.yaml: seed: 5",
        "configs/data/docstrings.yaml: split_seed: 1",
        "configs/training/default.yaml: epochs: 7",
    ]
    assert compose()[0] == wanted == read_params()
    assert capsys.readouterr().err == ""
    assert keep() == []


def test_values_that_configs_cannot_compose_change_nothing(project):
    before = {path: path.read_bytes() for path in Path("configs").rglob("*.yaml")}
    params = read_params()
    del params["training"]["epochs"]
    PARAMS.write_text(yaml.safe_dump(params | {"seed": 9}), "utf-8")
    with pytest.raises(ProjectError, match=r"given params.yaml's training.epochs=nothing"):
        keep()
    assert {path: path.read_bytes() for path in Path("configs").rglob("*.yaml")} == before


def test_an_edit_of_params_is_said_to_be_overwritten_and_one_of_configs_is_not(project, capsys):
    change_params(seed=5)
    write_params(compose()[0])
    assert capsys.readouterr().err == (
        "params.yaml: seed=5 (now 0) overwritten by configs/; `make keep EXP=name` writes the "
        "values of an experiment there\n"
    )
    config = Path("configs/config.yaml")
    config.write_text(config.read_text("utf-8").replace("seed: 0", "seed: 1"), "utf-8")
    write_params(compose()[0])
    assert capsys.readouterr().err == ""
    assert read_params()["seed"] == 1

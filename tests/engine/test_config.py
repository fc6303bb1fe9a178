import ast
import inspect
from dataclasses import asdict, fields

import pytest
from toy_project import config
from toy_project.config import (
    Config,
    TrainingConfig,
)
from toy_project.models.transformer import TransformerConfig
from toy_project.rules import ConfigError, typed

from .conftest import make_config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "training.epochs must be >= 1, got 0"),
        ({"max_steps": 0}, "training.max_steps must be >= 1 or null, got 0"),
    ],
)
def test_a_bad_value_is_refused_when_it_is_set(values, message):
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(**values)
    assert str(caught.value) == message


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match=r"must be a divisor of model.hidden_size=64, got 7"):
        TransformerConfig("transformer", num_heads=7)


@pytest.mark.parametrize("missing", ["data", "data.encoder", "data.name", "model", "objective"])
def test_what_has_neither_a_value_nor_a_default_is_named(missing):
    settings = asdict(make_config())
    section, _, name = missing.partition(".")
    del (settings[section] if name else settings)[name or section]
    with pytest.raises(ConfigError) as caught:
        typed("", Config, settings)
    assert str(caught.value) == f"{missing} has no value"


def test_every_field_says_what_it_means():
    sections = {"data", "optimizer", "schedule", "training", "tracking", "registry", "launcher"}
    tree = ast.parse(inspect.getsource(config))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in [node for node in classes if node.name.endswith("Config")]:
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and ast.unparse(field.target) not in sections:
                is_string = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert is_string, f"{node.name}: no string under {ast.unparse(field)}"
    assert sections < {field.name for field in fields(Config)}

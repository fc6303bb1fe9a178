"""Every model in models/ that configs/model/ names, found by glob, keeps the same contract."""

import pytest
import torch
from miniature import CONFIGS
from toy_project.data.spec import DataSpec
from toy_project.data.text import TextEncoder
from toy_project.models.base import Model, build_model
from toy_project.objectives.classification import (
    Classification,
)
from toy_project.rules import ConfigError

NAMES = sorted(path.stem for path in CONFIGS.glob("model/*.yaml"))
ENCODER = TextEncoder(12, tuple(f"t{id}" for id in range(2, 50)))
SPEC = DataSpec(ENCODER, Classification(("a", "b", "c")))


def build(name: str) -> Model:
    torch.manual_seed(0)
    return build_model({"name": name}, SPEC)


@pytest.fixture(params=NAMES)
def model(request):
    return build(request.param)


def test_logits_have_a_column_for_each_label(model):
    assert model(torch.randint(1, 50, (4, 7))).shape == (4, 3)


def test_one_token_is_enough(model):
    assert model(torch.tensor([[3]])).isfinite().all()


def test_padding_changes_nothing(model):
    model.eval()
    short = torch.randint(1, 50, (2, 5))
    padded = torch.cat([short, torch.zeros(2, 7, dtype=torch.int64)], dim=1)
    assert torch.allclose(model(padded), model(short), atol=1e-6)


def test_every_parameter_gets_a_gradient(model):
    model(torch.randint(1, 50, (8, 12))).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_sizee": 8}, "model.hidden_sizee is not a setting; did you mean hidden_size?"),
        ({"hidden_size": "8"}, "model.hidden_size must be of type int, got '8'"),
        ({"hidden_size": 0}, "model.hidden_size must be in [1, 65536], got 0"),
        ({"dropout": True}, "model.dropout must be of type float, got True"),
    ],
)
def test_a_setting_that_a_model_does_not_take_is_refused(settings, message):
    with pytest.raises(ConfigError) as caught:
        build_model({"name": "mlp", **settings}, SPEC)
    assert str(caught.value) == message


def test_a_name_without_a_file_is_refused():
    with pytest.raises(ConfigError, match=r"model.name must be a file in models/ with"):
        build("nope")


@pytest.mark.parametrize("name", ["embedding", "base"])
def test_a_file_without_a_model_is_refused(name):
    with pytest.raises(ConfigError, match=r"model.name must be a file in models/ with"):
        build(name)

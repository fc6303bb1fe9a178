"""Tests of the models of tables and of their input layer."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from toy_project.config import OptimizerConfig
from toy_project.data.column import KNOWN, MISSING, OTHER
from toy_project.data.table import TableSpec
from toy_project.models.base import Model, model_class, model_settings
from toy_project.models.features import CategoryEmbedding
from toy_project.training.optimizers import build_optimizer

SMALL = {
    "feature_mlp": {"hidden_size": 16, "dropout": 0.0, "embedding_size": 4},
    "feature_transformer": {"hidden_size": 16, "dropout": 0.0, "feedforward_size": 32},
}


@pytest.fixture(params=SMALL)
def name(request) -> str:
    return request.param


def build(name: str, spec: TableSpec, num_outputs: int = 2) -> Model:
    torch.manual_seed(0)
    values = {"name": name, **SMALL[name]}
    return model_class(name)(model_settings(values), spec, num_outputs)


def train(model: Model, inputs: Tensor, labels: Tensor, num_steps: int = 150) -> float:
    """Train with AdamW on all rows; return the share of rows that are right."""
    optimizer = build_optimizer(OptimizerConfig(learning_rate=3e-3), model)
    for _ in range(num_steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return (model(inputs).argmax(dim=1) == labels).float().mean().item()


@pytest.mark.parametrize(
    ("num_numbers", "sizes"),
    [(0, (2,)), (0, (3, 5, 102)), *((n, s) for n in (1, 7) for s in ((), (2,), (3, 5, 102)))],
)
def test_any_columns_give_outputs(name, num_numbers, sizes):
    model = build(name, TableSpec(num_numbers, sizes))
    codes = torch.tensor([[size - 1.0 for size in sizes]]).expand(4, -1)
    outputs = model(torch.cat([torch.randn(4, num_numbers), codes], dim=1))
    assert outputs.shape == (4, 2) and outputs.isfinite().all()
    outputs.sum().backward()


def test_what_no_line_can_separate_is_learned(name):
    inputs = torch.tensor([[a, b, code] for a in (-1.0, 1) for b in (-1.0, 1) for code in (2.0, 3)])
    labels = (inputs[:, 0] * inputs[:, 1] * (inputs[:, 2] - 2.5) > 0).long()
    assert train(build(name, TableSpec(2, (4,))), inputs, labels) == 1


def test_codes_of_other_columns_have_other_vectors():
    embedding = CategoryEmbedding(TableSpec(0, (4, 4)), size=8)
    vectors = embedding(torch.tensor([[KNOWN, KNOWN]]).float())[1]
    assert not torch.allclose(vectors[0, 0], vectors[0, 1])


def test_a_category_that_training_lacks_adds_nothing(name):
    model = build(name, TableSpec(1, (5, 3)))
    seen = torch.tensor([[0.5, KNOWN, KNOWN], [-0.5, KNOWN + 1, KNOWN]])
    train(model, seen, torch.tensor([0, 1]), num_steps=5)
    for code in (OTHER, MISSING):
        vectors = model.get_submodule("embedding")(torch.tensor([[0.5, code, code]]))[1]
        assert not vectors.any()
    assert not torch.equal(model(seen[:1]), model(torch.tensor([[0.5, OTHER, OTHER]])))

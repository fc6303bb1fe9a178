"""What is trained of a pretrained model, at which rate, and that it resumes exactly."""

import shutil
from pathlib import Path

import pytest
import torch
from miniature import compose
from safetensors.torch import load_file
from toy_project import fetch, preprocess
from toy_project.artifacts import BUNDLE
from toy_project.config import OptimizerConfig
from toy_project.data.dataset import Split
from toy_project.data.spec import DataSpec
from toy_project.models.bundle import Bundle
from toy_project.models.pretrained import Pretrained
from toy_project.rules import ConfigError
from toy_project.training.checkpoint import Checkpoints
from toy_project.training.fit import fit
from toy_project.training.optimizers import build_optimizer, step

from ..commands import run
from .conftest import small, started, write_rows

FINETUNE = ["full", "frozen", "lora"]


@pytest.fixture
def inputs(spec: DataSpec) -> torch.Tensor:
    """A few encoded rows: [4, length]."""
    texts = ("cat dog", "oak and rose", "a whale", "granite, n17 and more")
    rows = [spec.encoder.encode({"text": text}) for text in texts]
    return Split.from_rows(rows, torch.zeros(4)).inputs(torch.arange(4))


def body_of(model: Pretrained) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in model.body.named_parameters()}


@pytest.mark.parametrize("finetune", FINETUNE)
def test_a_new_training_starts_from_the_weights_of_the_checkpoint(folder, spec, finetune):
    saved = load_file(f"{folder}/model.safetensors")
    weights = body_of(started(folder, spec, finetune=finetune))
    found = {name.replace(".base_layer.", "."): one for name, one in weights.items()}
    assert saved.keys() <= found.keys()
    assert all(found[name].equal(saved[name]) for name in saved)


@pytest.mark.parametrize("finetune", FINETUNE)
def test_the_head_is_trained_and_of_the_body_what_was_chosen(folder, spec, inputs, finetune):
    model = started(folder, spec, finetune=finetune)
    before, head = body_of(model), model.network.classifier.weight.detach().clone()
    optimizer = build_optimizer(OptimizerConfig(learning_rate=0.01), model)
    model.train()
    for _ in range(2):  # LoRA's second matrix is zero at first
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        step(optimizer, torch.tensor(1.0), learning_rate=0.01)
    changed = {name for name, one in body_of(model).items() if not one.equal(before[name])}
    assert not model.network.classifier.weight.equal(head)
    if finetune == "full":
        assert {f"encoder.layer.{i}.output.dense.weight" for i in range(3)} <= changed
    elif finetune == "frozen":
        assert not changed
    else:
        assert changed and all(".lora_" in name for name in changed)


def test_a_frozen_body_has_no_dropout(folder, spec, inputs):
    model = started(folder, spec, finetune="frozen").train()
    bodies = [model.body(**model.spec.arguments(inputs)).last_hidden_state for _ in range(2)]
    assert bodies[0].equal(bodies[1])
    assert model.network.dropout.training


def test_lora_that_was_merged_gives_the_outputs_of_before(folder, spec, inputs):
    model = started(folder, spec, finetune="lora").eval()
    with torch.no_grad():
        for name, one in model.body.named_parameters():
            if ".lora_" in name:
                one.normal_(std=0.1)
    before, plain = model(inputs), started(folder, spec)
    merged = model.finished()
    torch.testing.assert_close(merged(inputs), before, rtol=0, atol=1e-5)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert not merged(inputs).allclose(plain.eval()(inputs), atol=1e-3)


@pytest.mark.parametrize("optimizer", ["flat_adamw", "AdamW", "SGD", "muon"])
def test_a_layer_learns_at_its_share_of_the_rate(folder, spec, optimizer):
    """A first step of Adam, and one of SGD with gradients of 1, is as long as the rate."""
    model = started(folder, spec, layer_decay=0.5)
    biases = {
        0: model.network.classifier.bias,
        1: model.body.pooler.dense.bias,
        2: model.body.encoder.layer[1].output.dense.bias,
        3: model.body.encoder.layer[0].output.dense.bias,
        4: model.body.embeddings.LayerNorm.bias,
    }
    before = {distance: one.detach().clone() for distance, one in biases.items()}
    settings = OptimizerConfig(optimizer, learning_rate=0.01, weight_decay=0)
    chosen = build_optimizer(settings, model, model.rate_factors())
    for parameter in model.parameters():
        gradient = torch.ones_like(parameter)
        parameter.grad = gradient if parameter.grad is None else parameter.grad.copy_(gradient)
    step(chosen, torch.tensor(1.0), learning_rate=0.01)
    share = {0: 1, 1: 0.5, 2: 0.25, 3: 0.125, 4: 0.0625}
    for distance, one in biases.items():
        moved = (before[distance] - one).detach()
        expected = torch.full_like(moved, 0.01 * share[distance])
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-7)


def test_gradient_checkpointing_keeps_fewer_tensors_and_the_gradients(folder, spec, inputs):
    gradients, sizes = [], []
    for is_on in (False, True):
        model = started(folder, spec, gradient_checkpointing=is_on).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        torch.nn.init.ones_(model.network.classifier.weight)
        kept: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor, kept: list[torch.Tensor] = kept) -> torch.Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(inputs).square().sum()
        loss.backward()
        sizes.append(sum(one.numel() for one in kept))
        gradients.append(model.body.embeddings.word_embeddings.weight.grad)
    assert sizes[1] < sizes[0] / 2
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("finetune", FINETUNE)
def test_a_run_resumes_exactly_and_without_the_checkpoint(workspace, folder, finetune, monkeypatch):
    base = shutil.copytree(folder, workspace / "base")
    write_rows(workspace / "rows.csv")
    arguments = [*small(base), f"model.finetune={finetune}", "model.layer_decay=0.9"]
    assert run(fetch, preprocess, settings=arguments) is None
    settings = compose(*arguments)
    monkeypatch.setattr(Checkpoints, "complete", lambda self, best_step: None)
    fit(settings)
    whole = Bundle.load(BUNDLE).version
    for path in Path("models/checkpoints").glob("step-*18.pt"):
        path.unlink()
    assert [path.name for path in Path("models/checkpoints").iterdir()] == ["step-0000000009.pt"]
    shutil.rmtree(base)
    shutil.rmtree(BUNDLE)
    fit(settings)
    assert Bundle.load(BUNDLE).version == whole


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"finetune": "some"}, "model.finetune must be one of full, frozen, lora, got 'some'"),
        ({"layer_decay": 0}, "model.layer_decay must be in (0, 1], got 0.0"),
        ({"lora_rank": 0}, "model.lora_rank must be in [1, 4096], got 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(folder, spec, settings, message):
    with pytest.raises(ConfigError) as error:
        started(folder, spec, **settings)
    assert str(error.value) == message

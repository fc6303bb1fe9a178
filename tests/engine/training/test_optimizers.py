import copy
import itertools
from typing import Any

import pytest
import torch
from torch import nn
from toy_project.config import (
    OptimizerConfig,
    ScheduleConfig,
)
from toy_project.models.base import build_model
from toy_project.rules import ConfigError
from toy_project.training import flat_adamw
from toy_project.training.optimizers import (
    build_optimizer,
    check_optimizer,
    clip_grad_norm,
    decay_groups,
    load_optimizer,
    moving_average,
    parameters_of,
    step,
)
from toy_project.training.schedules import scheduled

GOOD, BAD = torch.tensor(1.0), torch.tensor(float("nan"))
INPUTS = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
NAMES = ("flat_adamw", "muon", "AdamW", "SGD", "RMSprop")


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3))


def make_optimizer(model: nn.Module, name: str = "flat_adamw", **settings: Any):
    return build_optimizer(OptimizerConfig(name, weight_decay=0.1, **settings), model)


def backward(model: nn.Module, scale: float = 1.0) -> None:
    (scale * model(INPUTS).square().mean()).backward()


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_the_flat_vector_takes_the_steps_of_the_paper():
    """Algorithm 2 of Loshchilov & Hutter 2019, arXiv:1711.05101, a tensor at a time."""
    ours, theirs = make_model(), make_model()
    optimizer = make_optimizer(ours)
    parameters = list(theirs.parameters())
    moments = [[torch.zeros_like(p), torch.zeros_like(p)] for p in parameters]
    for number in range(1, 21):
        optimizer.zero_grad()
        theirs.zero_grad()
        backward(ours)
        backward(theirs)
        step(optimizer, GOOD, learning_rate=0.01)
        with torch.no_grad():
            for weight, (m, v) in zip(parameters, moments, strict=True):
                assert weight.grad is not None
                m.mul_(0.9).add_(0.1 * weight.grad)
                v.mul_(0.999).add_(0.001 * weight.grad**2)
                direction = m / (1 - 0.9**number) / ((v / (1 - 0.999**number)).sqrt() + 1e-8)
                decay = 0.1 * weight if weight.ndim > 1 else 0
                weight.sub_(0.01 * (direction + decay))
    assert torch.allclose(weights(ours), weights(theirs), rtol=0, atol=1e-6)
    assert not weights(ours).equal(weights(make_model()))


def test_the_flat_vector_gives_the_weights_that_pytorch_gives():
    flat, plain = make_model(), make_model()
    for model, name in ((flat, "flat_adamw"), (plain, "AdamW")):
        optimizer = make_optimizer(model, name)
        for _ in range(20):
            optimizer.zero_grad()
            backward(model)
            step(optimizer, GOOD, learning_rate=0.01)
    assert torch.allclose(weights(flat), weights(plain), rtol=0, atol=1e-6)


def test_the_kernel_gives_the_weights_of_the_public_function(monkeypatch):
    fast, public = make_model(), make_model()
    for model, kernel in ((fast, flat_adamw.KERNEL), (public, None)):
        monkeypatch.setattr(flat_adamw, "KERNEL", kernel)
        optimizer = make_optimizer(model)
        for number in range(20):
            optimizer.zero_grad()
            backward(model)
            step(optimizer, BAD if number == 7 else GOOD, learning_rate=0.01)
    assert weights(fast).equal(weights(public))
    assert not weights(fast).equal(weights(make_model()))


@pytest.mark.parametrize("name", NAMES)
def test_training_continues_to_the_bit_from_a_state(name):
    whole, resumed = make_model(), make_model()
    state: dict[str, Any] = {}
    for model, numbers in ((whole, range(8)), (resumed, range(4, 8))):
        optimizer = make_optimizer(model, name)
        if state:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
        for number in numbers:
            optimizer.zero_grad()
            backward(model)
            step(optimizer, GOOD, learning_rate=0.01 * (number + 1))
            if number == 3:
                state = copy.deepcopy(
                    {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                )
    assert weights(whole).equal(weights(resumed))
    assert not weights(whole).equal(weights(make_model()))


def test_a_state_from_the_cpu_moves_to_the_device_of_the_weights():
    saved = make_optimizer(make_model()).state_dict()
    optimizer = make_optimizer(make_model().to("meta"))
    load_optimizer(optimizer, saved)
    [state] = optimizer.state.values()
    assert {name: tensor.device.type for name, tensor in state.items()} == dict.fromkeys(
        ("step", "exp_avg", "exp_avg_sq"), "meta"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_step_whose_gradients_are_not_finite_changes_nothing(name):
    model = make_model()
    optimizer = make_optimizer(model, name)
    backward(model)
    step(optimizer, GOOD, learning_rate=0.1)
    before, state = weights(model), copy.deepcopy(optimizer.state_dict())
    backward(model, float("nan"))
    norm = clip_grad_norm(parameters_of(optimizer), 1.0)
    step(optimizer, norm, learning_rate=0.1)
    assert weights(model).equal(before)
    assert str(optimizer.state_dict()) == str(state)


def test_only_matrices_decay(processed):
    model = build_model({"name": "transformer", "hidden_size": 16}, processed.spec)
    decayed, spared = (set(map(id, group)) for group in decay_groups(model))
    for name, parameter in model.named_parameters():
        assert (id(parameter) in spared) == ("embedding" in name or parameter.ndim < 2), name
        assert (id(parameter) in decayed) != (id(parameter) in spared)


def test_frozen_weights_stay():
    model = make_model()
    first = next(model.children()).requires_grad_(False)
    frozen = [parameter.clone() for parameter in first.parameters()]
    optimizer = make_optimizer(model)
    backward(model)
    step(optimizer, GOOD, learning_rate=0.1)
    assert all(now.equal(then) for now, then in zip(first.parameters(), frozen, strict=True))


@pytest.mark.parametrize("name", ["flat_adamw", "AdamW"])
def test_gradients_are_clipped_to_the_norm(name):
    model = make_model()
    optimizer = make_optimizer(model, name)
    backward(model, 100)
    before = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    norm = clip_grad_norm(parameters_of(optimizer), 0.5)
    assert norm == pytest.approx(before.norm().item(), rel=1e-5)
    after = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert after.norm() == pytest.approx(0.5, rel=1e-4)
    assert torch.allclose(after * before.norm() / 0.5, before, rtol=1e-4)
    optimizer.zero_grad()
    backward(model)
    assert clip_grad_norm(parameters_of(optimizer), 1e9) < 1e9


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (OptimizerConfig("adamm"), "optimizer.name must be a file in training/ with a subclass"),
        (
            OptimizerConfig("SGD", arguments={"momentumm": 0.9}),
            "optimizer.arguments must be among momentum, .*, got 'momentumm'",
        ),
        (
            OptimizerConfig("SGD", arguments={"momentum": -1}),
            "optimizer.arguments: SGD says: Invalid momentum value: -1",
        ),
        (OptimizerConfig("Rprop"), "optimizer.weight_decay must be 0, since Rprop has none, got"),
        (OptimizerConfig("LBFGS", weight_decay=0), "LBFGS cannot be used: .*closure"),
    ],
)
def test_an_optimizer_that_cannot_be_used_is_refused_before_there_is_data(config, message):
    with pytest.raises(ConfigError, match=message):
        check_optimizer(config)


def test_every_argument_of_an_optimizer_is_known():
    known = check_optimizer(OptimizerConfig("SGD", arguments={"momentum": 0.5}))
    assert (known["momentum"], known["nesterov"], known["dampening"]) == (0.5, False, 0)


def test_the_average_follows_the_weights():
    model = make_model()
    optimizer, average = make_optimizer(model), moving_average(model, 0.5)
    expected = torch.zeros(())
    for number in range(5):
        optimizer.zero_grad()
        backward(model)
        step(optimizer, GOOD, learning_rate=0.1)
        average.update_parameters(model)
        share = min(0.5, (1 + number) / (10 + number)) if number else 0
        expected = share * expected + (1 - share) * weights(model)
    assert torch.allclose(weights(average.module), expected, atol=1e-6)
    assert not weights(average.module).equal(weights(model))


def rates(**settings: Any) -> list[float]:
    config = ScheduleConfig(warmup_fraction=0.1, **settings)
    return [scheduled(step, 100, config) for step in range(101)]


def test_every_schedule_warms_up():
    for name in ("constant", "cosine", "linear", "wsd"):
        assert rates(name=name)[:10] == pytest.approx([0.1 * n for n in range(1, 11)])


def test_cosine_and_linear_fall_to_zero():
    for name in ("cosine", "linear"):
        falling = rates(name=name)[10:]
        assert all(later < earlier for earlier, later in itertools.pairwise(falling))
        assert falling[45] == pytest.approx(0.5)
        assert falling[-1] == pytest.approx(0)


def test_wsd_stays_until_it_falls_and_constant_stays():
    falling = rates(name="wsd", decay_fraction=0.2)[10:]
    assert falling[:72] == [1.0] * 72
    assert falling[81] == pytest.approx(0.5)
    assert falling[-1] == pytest.approx(0)
    assert rates(name="constant")[10:] == [1.0] * 91

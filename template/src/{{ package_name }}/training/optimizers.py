"""The optimizer that `optimizer.name` names, and what the trainer does around its step."""

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from ..config import OptimizerConfig
from ..lookup import find_class
from ..rules import ConfigError, require
from .flat_adamw import FlatAdamW


class Muon(Optimizer):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) beside AdamW.

    Muon's updates are scaled to the size of AdamW's, so that one learning rate suits both (Liu et
    al. 2025, arXiv:2502.16982). AdamW takes embeddings, norms, biases and convolutions.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        matrices, others = [], []
        for group in groups:
            is_spared = group.get("is_spared", False)
            for chosen, wanted in ((matrices, True), (others, False)):
                params = [p for p in group["params"] if (p.ndim == 2 and not is_spared) is wanted]
                if params:
                    chosen.append(group | {"params": params})
        self._parts: list[Optimizer] = []
        if matrices:
            scale = "match_rms_adamw"
            muon = torch.optim.Muon(matrices, lr, weight_decay, momentum, adjust_lr_fn=scale)
            self._parts.append(muon)
        if others:
            self._parts.append(torch.optim.AdamW(others, lr, betas, weight_decay=weight_decay))
        super().__init__([*matrices, *others], {"lr": lr, "weight_decay": weight_decay})
        self._share_groups()

    def _share_groups(self) -> None:
        """Share the parameter groups of both optimizers, so that a new learning rate applies."""
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the weights."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of Muon and AdamW."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()


NO_FACTORS: Mapping[Tensor, float] = MappingProxyType({})

OWN: dict[str, type[Optimizer]] = {"flat_adamw": FlatAdamW, "muon": Muon}
"""Built-in optimizers by name, in addition to PyTorch's and those of files in training/."""


def build_optimizer(
    config: OptimizerConfig, model: nn.Module, rate_factors: Mapping[Tensor, float] = NO_FACTORS
) -> Optimizer:
    """Return an optimizer of the model's trained parameters, in groups that decay or do not.

    Parameters in `rate_factors` learn at that share of the learning rate. With any, PyTorch's AdamW
    takes the place of `flat_adamw`, which has one rate.

    Raises:
        ConfigError: There is no such optimizer, or it does not take these arguments.
    """
    kind = _optimizer_class(config.name)
    known = _own_arguments(kind)
    for name in config.arguments:
        require(name in known, "optimizer.arguments", f"among {', '.join(known)}", name)
    if rate_factors and kind is FlatAdamW:
        kind = torch.optim.AdamW
    decayed, spared = decay_groups(model)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay, "is_spared": False},
        {"params": spared, "weight_decay": 0.0, "is_spared": True},
    ]
    options: dict[str, Any] = {"lr": config.learning_rate, **config.arguments}
    if "weight_decay" in inspect.signature(kind).parameters:
        options["weight_decay"] = config.weight_decay
    else:
        expected = f"0, since {config.name} has none"
        require(config.weight_decay == 0, "optimizer.weight_decay", expected, config.weight_decay)
        groups = [{"params": [*decayed, *spared]}]
    try:
        return kind([*_split_by_rate(groups, rate_factors)], **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer.arguments: {config.name} says: {error}") from error


def check_optimizer(config: OptimizerConfig) -> dict[str, Any]:
    """Return each of `optimizer.arguments`, defaults included, after a step on dummy weights.

    Raises:
        ConfigError: There is no such optimizer, it does not take these arguments, or its step needs
            more than gradients.
    """
    optimizer = build_optimizer(config, nn.ParameterList([torch.ones(2, 2), torch.ones(2)]))
    for parameter in parameters_of(optimizer):
        parameter.grad = torch.ones_like(parameter)
    try:
        optimizer.step()
    except Exception as error:  # a third-party class may raise anything
        given = f" with optimizer.arguments={config.arguments}" if config.arguments else ""
        raise ConfigError(f"optimizer.name={config.name} cannot be used{given}: {error}") from error
    return _own_arguments(type(optimizer)) | config.arguments


def decay_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trained parameters that decay, and those that do not: embeddings, norms, biases.

    Embeddings do not, since a rare token would be forgotten between the batches that hold it.
    """
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    spared = {parameter for module in embeddings for parameter in module.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    spared |= {parameter for parameter in trained if parameter.ndim < 2}
    return [p for p in trained if p not in spared], [p for p in trained if p in spared]


def _split_by_rate(
    groups: Iterable[dict[str, Any]], factors: Mapping[Tensor, float]
) -> Iterator[dict[str, Any]]:
    """Yield groups of parameters that all learn at the same rate."""
    for group in groups:
        by_factor: dict[float, list[Tensor]] = {}
        for parameter in group["params"]:
            by_factor.setdefault(factors.get(parameter, 1.0), []).append(parameter)
        for factor, parameters in by_factor.items():
            yield group | {"params": parameters, "rate_factor": factor}


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """Return the parameters that the optimizer updates."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale the gradients down to the L2 norm `max_norm`; return the norm before, a scalar."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if len(grads) != 1:
        return nn.utils.clip_grad_norm_(parameters, max_norm)
    # A single vector, as with `flat_adamw`, takes half the time.
    norm = torch.linalg.vector_norm(grads[0])
    grads[0].div_((norm / max_norm).clamp_(min=1.0))
    return norm


def step(optimizer: Optimizer, grad_norm: Tensor, *, learning_rate: float) -> None:
    """Take a step at this rate, unless the norm of the gradients is not finite."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("rate_factor", 1.0)
    is_finite = grad_norm < math.inf  # false for NaN too
    if isinstance(optimizer, FlatAdamW):
        # It skips the step on the device, so that the host does not have to wait for the norm.
        optimizer.step_where(is_finite.float())
    elif is_finite:
        optimizer.step()


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Continue from a state of `Optimizer.state_dict`, with the arguments of the current config."""
    options = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, options, strict=True):
        group.update(own)


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of the model whose weights follow it: fast at first, then slower."""

    def followed(average: Tensor, weights: Tensor, num_updates: Tensor | int) -> Tensor:
        share = min(decay, (1 + int(num_updates)) / (10 + int(num_updates)))
        return average.lerp(weights, 1 - share)

    return AveragedModel(model, avg_fn=followed)


def _own_arguments(kind: type[Optimizer]) -> dict[str, Any]:
    """Return the other arguments of `kind`, besides parameters, rate and decay, with defaults."""
    _, *parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("lr", "weight_decay")}


def _optimizer_class(name: str) -> type[Optimizer]:
    found = OWN.get(name) or getattr(torch.optim, name, None)
    if isinstance(found, type) and issubclass(found, Optimizer) and found is not Optimizer:
        return found
    return find_class(Optimizer, folder="training", name=name, setting="optimizer.name")

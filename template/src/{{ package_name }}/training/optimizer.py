"""AdamW that sees a model's weights as one long vector, and what goes with that: clipping, EMA.

A step on one vector costs a fraction of the same step on dozens of small tensors.
"""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class FlatAdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) that decays matrices only.

    Embeddings do not decay: a rare token would be forgotten between the batches that hold it.

    Each parameter becomes a view of its part of `weights`, its gradient one of `grads`, so the
    model sees no difference; it has to stay on its device. A parameter that no loss reaches has a
    gradient of zero instead of none.
    """

    def __init__(self, model: nn.Module, *, weight_decay: float, ema_decay: float = 0.0) -> None:
        decayed, spared = decay_groups(model)
        self.weight_decay = weight_decay
        self.ema_decay = ema_decay
        self.weights, self.grads = _flattened([*decayed, *spared])
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(self.grads), torch.zeros_like(self.grads)
        self.num_steps = torch.zeros((), device=self.grads.device)
        self._one = torch.ones_like(self.num_steps)
        self.average = self.weights.clone() if ema_decay else None
        """The moving average of the weights."""
        self._decayed = self.weights[: sum(parameter.numel() for parameter in decayed)]

    def zero_grad(self) -> None:
        """Set all gradients to 0."""
        self.grads.zero_()

    def clip_grad_norm(self, max_norm: float) -> Tensor:
        """Scale the gradients down to the L2 norm `max_norm`; return what it was, a scalar."""
        norm = torch.linalg.vector_norm(self.grads)
        self.grads.div_((norm / max_norm).clamp_(min=1.0))
        return norm

    def step(self, learning_rate: float, *, is_good: Tensor) -> None:
        """Change the weights, unless `is_good`, a scalar on the device, is 0 instead of 1."""
        self._decayed.mul_(self._one.sub(is_good, alpha=learning_rate * self.weight_decay))
        self.num_steps += is_good
        # What torch.optim.AdamW calls in the end; its preparations take longer than this does.
        torch._fused_adamw_(
            [self.weights],
            [self.grads],
            [self.exp_avg],
            [self.exp_avg_sq],
            [],
            [self.num_steps],
            lr=learning_rate,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=0.0,  # done above, for some of the weights only
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            found_inf=self._one - is_good,
        )

    def update_average(self, step: int) -> None:
        """Move the average towards the weights after step `step`: fast at first, then slower."""
        if self.average is not None:
            decay = min(self.ema_decay, (1 + step) / (10 + step))
            self.average.lerp_(self.weights, 1 - decay)

    @contextmanager
    def averaged(self) -> Generator[None]:
        """Give the model the moving average of its weights, where there is one, for the block."""
        if self.average is None:
            yield
            return
        weights = self.weights.clone()
        self.weights.copy_(self.average)
        try:
            yield
        finally:
            self.weights.copy_(weights)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a step leaves beside the weights."""
        average = {} if self.average is None else {"average": self.average}
        return average | {
            "exp_avg": self.exp_avg,
            "exp_avg_sq": self.exp_avg_sq,
            "num_steps": self.num_steps,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on where `state_dict` was taken, from a model of the same shape with its weights."""
        for name in ("exp_avg", "exp_avg_sq", "num_steps"):
            getattr(self, name).copy_(state[name])
        if self.average is not None:
            # It may be new to this run: then it starts from the weights.
            self.average.copy_(state.get("average", self.weights))


def decay_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trained parameters that decay, and those that do not."""
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    spared = {parameter for module in embeddings for parameter in module.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    spared |= {parameter for parameter in trained if parameter.ndim < 2}
    return [p for p in trained if p not in spared], [p for p in trained if p in spared]


def _flattened(parameters: list[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Lay the parameters end to end, and their gradients; return the two vectors."""
    weights = torch.cat([parameter.detach().flatten() for parameter in parameters])
    grads = torch.zeros_like(weights)
    sizes = [parameter.numel() for parameter in parameters]
    parts = zip(parameters, weights.split(sizes), grads.split(sizes), strict=True)
    for parameter, its_weights, its_grads in parts:
        parameter.data = its_weights.view_as(parameter)
        parameter.grad = its_grads.view_as(parameter)
    return weights, grads

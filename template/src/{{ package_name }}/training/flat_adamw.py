"""AdamW on all weights as one vector: a step takes less time than on dozens of tensors."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

KERNEL = getattr(torch, "_fused_adamw_", None)
"""The kernel of torch.optim.AdamW. It is private, so it may be missing (`None`)."""


class FlatAdamW(Optimizer):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) of one vector that holds every parameter.

    Each parameter becomes a view of its part of that vector, and its gradient one of the vector's
    gradient. The model needs no change, but must stay on its device. A parameter that the loss does
    not depend on has a gradient of zero instead of `None`. All have one learning rate.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        decayed: list[nn.Parameter] = []
        spared: list[nn.Parameter] = []
        for group in groups:
            decays = group.get("weight_decay", weight_decay) > 0
            (decayed if decays else spared).extend(group["params"])
        vector = flattened([*decayed, *spared])
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__([vector], defaults)
        self._weights, self._grads = vector.detach(), cast(Tensor, vector.grad)
        self._decayed = self._weights[: sum(parameter.numel() for parameter in decayed)]
        self._one = torch.ones((), device=vector.device)
        self.state[vector] = {
            "step": torch.zeros((), device=vector.device),
            "exp_avg": torch.zeros_like(self._grads),
            "exp_avg_sq": torch.zeros_like(self._grads),
        }

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set all gradients to 0, in place: they are views."""
        self._grads.zero_()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, on the device of the weights."""
        super().load_state_dict(state_dict)
        # PyTorch leaves `step` where it was loaded, but the kernel needs it beside the weights.
        [state] = self.state.values()
        state["step"] = state["step"].to(self._one.device)

    def step(self, closure: Any = None) -> Any:
        """Update the weights."""
        assert closure is None, "gradients are computed before"
        self.step_where(self._one)

    def step_where(self, is_taken: Tensor) -> None:
        """Update the weights, unless `is_taken`, a scalar on the device, is 0 instead of 1.

        This skips PyTorch's hooks around `step`, which take as long as the update.
        """
        [group], [state] = self.param_groups, self.state.values()
        self._decayed.mul_(self._one.sub(is_taken, alpha=group["lr"] * group["weight_decay"]))
        tensors = (
            *([self._weights], [self._grads]),
            *([state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]]),
        )
        beta1, beta2 = group["betas"]
        options = {"lr": group["lr"], "beta1": beta1, "beta2": beta2, "eps": group["eps"]}
        options |= {"weight_decay": 0.0, "amsgrad": False, "maximize": False}
        if KERNEL is None:
            adamw(*tensors, fused=True, found_inf=1 - is_taken, **options)
        else:
            # The preparations of the public function take longer than the kernel.
            state["step"] += is_taken
            KERNEL(*tensors, found_inf=1 - is_taken, **options)


def flattened(parameters: list[nn.Parameter]) -> nn.Parameter:
    """Return a vector of which the parameters become views, and their gradients of its gradient."""
    vector = nn.Parameter(torch.cat([one.detach().flatten() for one in parameters]))
    vector.grad = grads = torch.zeros_like(vector)
    sizes = [parameter.numel() for parameter in parameters]
    views = zip(parameters, vector.detach().split(sizes), grads.split(sizes), strict=True)
    for parameter, its_weights, its_grads in views:
        parameter.data = its_weights.view_as(parameter)
        parameter.grad = its_grads.view_as(parameter)
    return vector

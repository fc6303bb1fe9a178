"""Steps of one size in the direction of each gradient's sign."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class Signed(Optimizer):
    """SignSGD (Bernstein et al. 2018, arXiv:1802.04434)."""

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float = 1e-3, weight_decay: float = 0.0
    ) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change the weights."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(parameter.grad.sign(), alpha=group["lr"])

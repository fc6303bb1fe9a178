"""Muon for the matrices of layers, AdamW for everything else."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class Muon(Optimizer):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) beside AdamW.

    Muon's updates are scaled to the size of AdamW's, so that one learning rate suits both (Liu et
    al. 2025, arXiv:2502.16982). Embeddings, norms, biases and convolutions are AdamW's.
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
            is_muons = [p.ndim == 2 and not group.get("is_spared") for p in group["params"]]
            for chosen, wanted in ((matrices, True), (others, False)):
                pairs = zip(group["params"], is_muons, strict=True)
                if params := [p for p, is_muon in pairs if is_muon is wanted]:
                    chosen.append(group | {"params": params})
        self._parts: list[Optimizer] = []
        if matrices:
            self._parts.append(
                torch.optim.Muon(
                    matrices, lr, weight_decay, momentum, adjust_lr_fn="match_rms_adamw"
                )
            )
        if others:
            self._parts.append(torch.optim.AdamW(others, lr, betas, weight_decay=weight_decay))
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas}
        super().__init__([*matrices, *others], defaults)
        self._share_groups()

    def _share_groups(self) -> None:
        """Make our groups those of the parts: a learning rate that is set here is set there."""
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change the weights."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of Muon and AdamW."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()

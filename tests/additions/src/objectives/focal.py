"""One of several labels, where rows that are easy count less."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from .classification import Classification, ClassificationConfig


@dataclass(frozen=True)
class FocalConfig(ClassificationConfig):
    """The settings of the loss."""

    name: str = "focal"
    """This file."""


class Focal(Classification):
    """The focal loss of Lin et al. 2017, arXiv:1708.02002."""

    settings: ClassVar = FocalConfig

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over rows."""
        losses = functional.cross_entropy(outputs, targets, reduction="none")
        return ((1 - (-losses).exp()) ** 2 * losses).mean()

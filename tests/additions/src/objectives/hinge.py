"""One of several labels, whose logit should be the highest by a margin."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from .classification import Classification, ClassificationConfig


@dataclass(frozen=True)
class HingeConfig(ClassificationConfig):
    """The settings of the loss."""

    name: str = "hinge"
    """This file."""


class Hinge(Classification):
    """The hinge loss of Crammer & Singer 2001."""

    settings: ClassVar = HingeConfig

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over rows."""
        return functional.multi_margin_loss(outputs, targets)

"""One of several labels, whose logit should be the highest by a margin."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .classification import Classification, ClassificationConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class HingeConfig(ClassificationConfig):
    """The settings of the loss."""

    name: str = "hinge"
    """This file."""


class Hinge(Classification):
    """The hinge loss of Crammer & Singer 2001."""

    settings: ClassVar = HingeConfig

    def loss(self, outputs: "Tensor", targets: "Tensor") -> "Tensor":
        """Return the mean over rows."""
        from torch.nn import functional

        return functional.multi_margin_loss(outputs, targets)

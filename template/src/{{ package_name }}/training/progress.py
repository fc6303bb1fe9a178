"""The progress of training, and the losses and gradient norms since the last log."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Progress:
    """The progress of training. The position in the epoch and the schedule follow from `step`."""

    step: int = 0
    """Optimizer steps done."""
    best: float | None = None
    """The best value of the monitored metric; `None` before the first one."""
    best_step: int = 0
    """The step after which it was reached."""
    num_worse: int = 0
    """Evaluations since then."""
    learning_rate_scale: float = 1.0
    """Factor of the learning rate, which `training.on_nonfinite=lower` reduces."""
    logged_step: int = 0
    """The step after which figures were logged last."""
    loss_sum: float = 0.0
    """Sum of the logged losses since the last evaluation, of `num_losses` steps."""
    num_losses: int = 0

    def record(self, value: float, *, sign: int, min_delta: float) -> None:
        """Count an evaluation as the best or as worse; NaN is always worse."""
        least = -math.inf if self.best is None else sign * self.best + min_delta
        if sign * value > least:
            self.best, self.best_step, self.num_worse = value, self.step, 0
        else:
            self.num_worse += 1

    def take_train_loss(self) -> float:
        """Return the mean loss since the last evaluation, and reset it."""
        loss = mean(self.loss_sum, self.num_losses)
        self.loss_sum, self.num_losses = 0.0, 0
        return loss


class Window:
    """Loss and norm of the gradients of each step since the last log.

    They stay on the device, because reading them waits for it.
    """

    def __init__(self, steps: Tensor | None = None) -> None:
        self._figures: list[Tensor] = [] if steps is None else list(steps.flatten())

    def add(self, loss: Tensor, grad_norm: Tensor) -> None:
        """Add a step."""
        self._figures += (loss, grad_norm)

    def steps(self) -> Tensor:
        """Return loss and norm of each step: [steps, 2]."""
        figures = torch.stack(self._figures) if self._figures else torch.zeros(0)
        return figures.view(-1, 2)

    def finite_steps(self) -> Tensor:
        """Return the steps with finite gradients."""
        # The same steps on every rank, since the norm is that of the averaged gradients.
        steps = self.steps()
        return steps[steps[:, 1] < math.inf]


def mean(total: float, count: float) -> float:
    """Return the mean, or NaN if `count` is 0."""
    return total / count if count else math.nan

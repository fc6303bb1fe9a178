"""Metrics of a model on a split."""

import torch
from torch import Tensor

from ..data.dataset import Split
from ..models.base import Model
from ..objectives.base import LOSS, Objective

BATCH_SIZE = 256


@torch.inference_mode()
def predict_outputs(model: Model, split: Split) -> Tensor:
    """Return the outputs [rows, num_outputs] of a split, on the CPU; leave `model` in eval mode."""
    device = next(model.parameters()).device
    model.eval()
    batches = split.batches(BATCH_SIZE)
    return torch.cat([model(inputs.to(device)).float().cpu() for inputs, _ in batches])


def figures(objective: Objective, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Return the objective's metrics and its loss, by name."""
    measured = objective.measure(targets, objective.scores(outputs))
    return measured | {LOSS: objective.loss(outputs, targets).item()}


def evaluate(model: Model, objective: Objective, split: Split) -> dict[str, float]:
    """Return the metrics of a model on a split."""
    return figures(objective, predict_outputs(model, split), split.targets)

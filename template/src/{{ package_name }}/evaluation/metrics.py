"""Figures of a classifier on a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..config import Metric
from ..data.dataset import Split
from ..models.base import Model

BATCH_SIZE = 256


@dataclass(frozen=True)
class Metrics:
    """The figures of one evaluation."""

    accuracy: float
    """Share of rows whose label is right."""
    macro_f1: float
    """F1 of each label, averaged with equal weight; 0 for a label that is never right."""
    loss: float | None = None
    """Mean cross-entropy in nats; null for a baseline without probabilities."""

    def __getitem__(self, metric: Metric) -> float:
        return float(getattr(self, metric))

    def to_dict(self) -> dict[str, float]:
        """Return the figures that there are."""
        return {name: value for name, value in vars(self).items() if value is not None}


def score(actual: Sequence[Any], predicted: Sequence[Any], *, loss: float | None = None) -> Metrics:
    """Return the metrics of predicted labels.

    The same as scikit-learn's, whose import takes longer than that of PyTorch.
    """
    truth, guess = np.asarray(actual), np.asarray(predicted)
    labels = np.union1d(truth, guess)
    hits = np.array([((truth == label) & (guess == label)).sum() for label in labels])
    sizes = np.array([(truth == label).sum() + (guess == label).sum() for label in labels])
    return Metrics(float((truth == guess).mean()), float((2 * hits / sizes).mean()), loss)


@torch.inference_mode()
def predict_logits(model: Model, split: Split) -> Tensor:
    """Return the logits [rows, classes] of a split, on the CPU, and leave dropout off."""
    device = next(model.parameters()).device
    model.eval()
    batches = split.batches(BATCH_SIZE)
    return torch.cat([model(inputs.to(device)).float().cpu() for inputs, _ in batches])


def evaluate(model: Model, split: Split) -> Metrics:
    """Return the metrics of a model on a split."""
    logits = predict_logits(model, split)
    loss = functional.cross_entropy(logits, split.labels).item()
    return score(split.labels.numpy(), logits.argmax(dim=-1).numpy(), loss=loss)

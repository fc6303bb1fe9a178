"""The contract of a model, which is built from its settings and the data's spec."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..data.dataset import Split
from ..data.spec import DataSpec
from ..lookup import find_class
from ..objectives.base import Objective
from ..rules import typed

BATCH_SIZE = 256
"""Rows of a forward pass when a split is predicted."""


class Model(nn.Module, ABC):
    """A module whose output an objective reads. Each file in models/ has one subclass.

    Single-device code: launchers own processes and devices. Register parameters before you fill
    them, as PyTorch's modules do, so that loading a bundle with wrong sizes takes no memory.
    """

    settings: ClassVar[type]
    """The dataclass of the settings under `model`."""

    def __init__(self, config: Any, spec: Any, num_outputs: int) -> None:
        """Build the model from its settings, the encoder's spec and the width of the output."""
        super().__init__()
        self.config = config

    def start(self) -> None:
        """Load what a new training starts from; a run that resumes has its weights already."""

    def finished(self) -> "Model":
        """Return the trained model that the bundle keeps."""
        return self

    def rate_factors(self) -> Mapping[Tensor, float]:
        """Return learning rates of parameters as shares of `optimizer.learning_rate`, if not 1."""
        return {}

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of inputs [batch, ...]."""


def model_class(name: str) -> type[Model]:
    """Return the model that models/<name>.py defines."""
    return find_class(Model, folder="models", name=name, setting="model.name")


def model_settings(values: Mapping[str, Any]) -> Any:
    """Return the checked settings of the model `values["name"]`."""
    return typed("model", model_class(values["name"]).settings, values)


def build_model(values: Mapping[str, Any], spec: DataSpec) -> Model:
    """Return the untrained model that the settings describe.

    Raises:
        ConfigError: There is no such model, or it does not have such a setting.
    """
    kind = model_class(values["name"])
    return kind(model_settings(values), spec.encoder.spec, spec.objective.num_outputs)


@torch.inference_mode()
def predict_outputs(model: Model, split: Split) -> np.ndarray:
    """Return the outputs [rows, num_outputs] of a split; leave `model` in eval mode."""
    device = next(model.parameters()).device
    model.eval()
    batches = split.batches(BATCH_SIZE)
    return torch.cat([model(inputs.to(device)).float().cpu() for inputs, _ in batches]).numpy()


def evaluate(model: Model, objective: Objective, split: Split) -> dict[str, float]:
    """Return the metrics of a model on a split, and its loss."""
    return objective.evaluate(predict_outputs(model, split), split.targets.numpy())

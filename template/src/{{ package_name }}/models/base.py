"""The contract of a model, which is built from its settings and the data's spec."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..data.dataset import Split
from ..data.spec import DataSpec
from ..lookup import find_class
from ..objectives.base import Objective
from ..rules import require, typed

BATCH_SIZE = 256
"""Rows of a forward pass when a split is predicted."""
SLACK = 4
"""How often a parameter may be registered while a model is built; parametrizations repeat it."""


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


@torch.inference_mode(mode=False)  # a bundle keeps it, whatever the mode it is first asked in
def read_model(content: bytes, settings: Mapping[str, Any], spec: DataSpec) -> Model:
    """Return the model with the weights of a safetensors file, in evaluation mode.

    Raises:
        ConfigError: A setting has a value that cannot be used, or a weight is not finite.
        SafetensorError: The content is no safetensors file.
        ValueError: The weights are not those of such a model.
    """
    weights = load(content)
    with _no_larger_than(len(content), num_tensors=len(weights)):
        model = build_model(settings, spec)
    expected = model.state_dict()
    _require_same(*map(_described, (weights, expected)))
    model.load_state_dict(weights)
    is_finite = all(parameter.isfinite().all() for parameter in model.parameters())
    require(is_finite, "every weight", "finite", "NaN or infinity")
    return model.eval()


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


@contextmanager
def _no_larger_than(num_bytes: int, *, num_tensors: int) -> Generator[None]:
    """Raise a ValueError when a model is built with parameters too large for such a file.

    PyTorch's modules register a parameter before they fill it; until then it takes no memory.
    """
    num_left, bytes_left = SLACK * num_tensors, SLACK * num_bytes

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal num_left, bytes_left
        num_left, bytes_left = num_left - 1, bytes_left - parameter.nbytes
        if min(num_left, bytes_left) < 0:
            raise ValueError("config.json describes a model that is larger than its weights")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _described(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: f"{one.dtype} {[*one.shape]}" for name, one in tensors.items()}


def _require_same(found: dict[str, str], expected: dict[str, str]) -> None:
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise ValueError(f"{name!r:.60} is {found.get(name)}, expected {expected.get(name)}")

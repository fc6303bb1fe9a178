"""The weights of a model as safetensors."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..data.spec import DataSpec
from ..rules import require
from .base import Model, build_model

SLACK = 4
"""How often a parameter may be registered while a model is built; parametrizations repeat it."""


def write_weights(model: Model) -> bytes:
    """Return the content of a safetensors file."""
    return save(model.state_dict())


@torch.inference_mode(mode=False)  # a bundle keeps it, whatever the mode it is first asked in
def read_model(content: bytes, settings: Mapping[str, Any], spec: DataSpec) -> Model:
    """Return the model with the weights that `write_weights` wrote, in evaluation mode.

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

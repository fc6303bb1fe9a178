"""What a model is: logits of a batch, built from its configuration and the data's spec."""

from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec

from torch import Tensor, nn

from ..config import ModelConfig
from ..data.spec import DataSpec
from ..rules import ConfigError


class Model(nn.Module, ABC):
    """A classifier. Each file in models/ that `model.name` may name holds one subclass.

    Single-device code: launchers own processes and devices. Parameters are registered first and
    filled then, as PyTorch's modules do it, so that a bundle whose sizes are wrong takes no memory.
    """

    def __init__(self, config: ModelConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits [batch, classes] of inputs [batch, length], where 0 is padding."""


def build_model(config: ModelConfig, spec: DataSpec) -> Model:
    """Return the untrained model that models/<config.name>.py defines.

    Raises:
        ConfigError: There is no such file, or it defines no model.
    """
    module_name = f"{__package__}.{config.name}"
    if not config.name.isidentifier() or find_spec(module_name) is None:
        raise ConfigError(f"model.name must be a file in models/, got {config.name!r}")
    for value in vars(import_module(module_name)).values():
        if isinstance(value, type) and issubclass(value, Model) and value.__module__ == module_name:
            return value(config, spec)
    raise ConfigError(f"model.name must be a file that defines a Model, got {config.name!r}")

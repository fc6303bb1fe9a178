"""A pretrained model of the Hugging Face hub with a new head: fully trained, frozen or by LoRA."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import torch
import transformers
from torch import Tensor, nn

from ..data.pretrained import WEIGHTS_FILES, PretrainedSpec, checkpoint_folder
from ..rules import (
    Checked,
    Choice,
    ConfigError,
    Fraction,
    Name,
    PositiveInt,
    Rule,
    require,
    within,
)
from .base import Model

log = logging.getLogger(__name__)


class Finetune(StrEnum):
    """Which weights are trained, besides those of the head."""

    full = "full"
    """All of them."""
    frozen = "frozen"
    """None."""
    lora = "lora"
    """A low-rank addition to each matrix of the body, which becomes part of it in the bundle."""


@dataclass(frozen=True)
class PretrainedConfig(Checked, section="model"):
    """The settings of a pretrained model."""

    name: Name = "pretrained"
    """This file."""
    checkpoint: Name = "distilbert/distilbert-base-uncased"
    """A folder, or the id of a model on the hub, with safetensors."""
    encoder: Choice = field(default_factory=lambda: {"name": "pretrained_text"})
    """The settings of its encoder; `experiment=pretrained` sets `data.encoder` to them."""
    finetune: Finetune = Finetune.full
    """What is trained besides the head: `full`, `frozen` or `lora`."""
    lora_rank: Annotated[int, within(1, 4096)] = 8
    """Rank of LoRA's matrices."""
    lora_alpha: PositiveInt = 16
    """Scale of LoRA's addition, before it is divided by the rank."""
    lora_dropout: Fraction = 0.0
    """Share of the inputs of LoRA's matrices that are zeroed in training, in [0, 1)."""
    layer_decay: Annotated[float, Rule("in (0, 1]", lambda value: 0 < value <= 1)] = 1.0
    """Learning rate of a layer as a share of that of the layer above it."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass, to save memory."""


class Pretrained(Model):
    """transformers' own class for the checkpoint's architecture, with a head for the outputs."""

    settings: ClassVar = PretrainedConfig

    def __init__(self, config: PretrainedConfig, spec: PretrainedSpec, num_outputs: int) -> None:
        super().__init__(config, spec, num_outputs)
        if not isinstance(spec, PretrainedSpec):
            name = config.encoder["name"]
            raise ConfigError(
                f"data.encoder.name must be {name} for model=pretrained; "
                "experiment=pretrained sets both"
            )
        self.spec = spec
        self.network = _network(spec, num_outputs)
        if config.finetune is not Finetune.full:
            self.body.requires_grad_(False)
        if config.finetune is Finetune.lora:
            _add_lora(self.body, config)
        if config.gradient_checkpointing:
            self.network.activation_checkpointing_enable()

    @property
    def body(self) -> nn.Module:
        """The model without its head."""
        return self.network.base_model

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of encoded rows [batch, ...]."""
        return self.network(**self.spec.arguments(inputs)).logits

    def train(self, mode: bool = True) -> "Pretrained":
        """Set the mode; a frozen body stays in evaluation mode, without dropout."""
        super().train(mode)
        if self.config.finetune is Finetune.frozen:
            self.body.eval()
        return self

    def start(self) -> None:
        """Load the checkpoint's weights, all but those of a head for other outputs.

        Raises:
            ConfigError: It cannot be loaded, or has no weights of the body.
        """
        with checkpoint_folder(self.config.checkpoint, WEIGHTS_FILES) as folder:
            loaded, info = type(self.network).from_pretrained(
                folder,
                config=self.network.config,
                dtype=torch.float32,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                trust_remote_code=False,
            )
        new = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
        weights = {name: one for name, one in loaded.state_dict().items() if name not in new}
        own = dict(_named_weights(self.network))
        has_body = any(name.startswith(f"{loaded.base_model_prefix}.") for name in weights)
        require(has_body, "model.checkpoint", "the weights of its config", self.config.checkpoint)
        with torch.no_grad():
            for name, value in weights.items():
                own[name].copy_(value)
        log.info("%s: weights loaded; new: %s", self.config.checkpoint, ", ".join(sorted(new)))

    def finished(self) -> Model:
        """Return the model with LoRA's matrices added to the weights, as after full training."""
        if self.config.finetune is Finetune.lora:
            _merge_lora(self.body)
            self.config = replace(self.config, finetune=Finetune.full)
        return self

    def rate_factors(self) -> Mapping[Tensor, float]:
        """Return a learning rate for each weight of the body, as a share of that of the head."""
        decay = self.config.layer_decay
        if decay == 1:
            return {}
        return {one: decay**distance for one, distance in _distances(self.body)}


def _network(spec: PretrainedSpec, num_outputs: int) -> Any:
    """Return the untrained network of the spec's architecture."""
    values = dict(spec.architecture)
    config = transformers.CONFIG_MAPPING[values["model_type"]].from_dict(values)
    config.num_labels = num_outputs
    try:
        return getattr(transformers, spec.head).from_config(config, dtype=torch.float32)
    except ValueError as error:
        message = f"transformers has no {spec.head} for {config.model_type}, of model.checkpoint"
        raise ConfigError(message) from error


def _named_weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield weights and buffers under the names that they have without LoRA."""
    for name, value in network.state_dict(keep_vars=True).items():
        if ".lora_" not in name:
            yield name.replace(".base_layer.", "."), value


def _add_lora(body: nn.Module, config: PretrainedConfig) -> None:
    """Add LoRA (Hu et al. 2021, arXiv:2106.09685) to each linear layer of the body."""
    from peft import LoraConfig, inject_adapter_in_model

    linear = [name for name, module in body.named_modules() if isinstance(module, nn.Linear)]
    require(bool(linear), "model.finetune", "full or frozen without linear layers", "lora")
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=linear,
    )
    inject_adapter_in_model(settings, body)


def _merge_lora(body: nn.Module) -> None:
    """Replace each layer with LoRA by a linear layer that gives the same outputs."""
    from peft.tuners.lora import LoraLayer

    layers = {name: one for name, one in body.named_modules() if isinstance(one, LoraLayer)}
    for name, layer in layers.items():
        layer.merge()
        body.set_submodule(name, layer.get_base_layer())


def _distances(body: nn.Module) -> Iterator[tuple[Tensor, int]]:
    """Yield each weight of the body with the number of layers from the head down to its own.

    The layers are those of the outermost list. What precedes it, such as embeddings, is below the
    first layer; what follows it is at the height of the last.

    Raises:
        ConfigError: There is no list of layers.
    """
    lists = ((name, one) for name, one in body.named_modules() if isinstance(one, nn.ModuleList))
    prefix, layers = next(((name, one) for name, one in lists if len(one) > 1), ("", ()))
    require(len(layers) > 1, "model.layer_decay", "1 for a model without a list of layers", "less")
    height = 0
    for name, weight in body.named_parameters():
        if name.startswith(f"{prefix}."):
            height = int(name.removeprefix(f"{prefix}.").partition(".")[0]) + 1
        elif height:
            height = len(layers)
        yield weight, len(layers) + 1 - height

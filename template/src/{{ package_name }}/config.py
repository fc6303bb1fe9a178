"""Every knob of the pipeline, typed and checked when built. What is not here cannot be set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .rules import (
    AT_LEAST_ONE,
    FILE_NAME,
    LIMIT,
    NOT_EMPTY,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    UNIT,
    check,
    require,
    require_size,
    up_to,
)


class Metric(StrEnum):
    """A figure by which models are compared; higher is better."""

    accuracy = "accuracy"
    macro_f1 = "macro_f1"


class Device(StrEnum):
    """Where tensors live."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    """The type in which a forward pass computes; weights are float32."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class OnNonFinite(StrEnum):
    """What follows a step whose gradients are not finite. It never changes the weights."""

    stop = "stop"
    """End the run with an error; the checkpoints stay."""
    skip = "skip"
    """Leave the step out."""
    lower = "lower"
    """Leave the step out and halve the learning rate from there on."""


class OnSaveError(StrEnum):
    """What follows a checkpoint that cannot be written, on a full disk for example."""

    go_on = "go_on"
    """Say so, and go on; the checkpoint before stays the last."""
    stop = "stop"
    """End the run with an error."""


@dataclass(frozen=True)
class DataConfig:
    """Which rows there are, how they are split and how they are encoded."""

    name: str = "docstrings"
    """The file in data/ whose `rows()` yields the dataset."""
    path: str | None = None
    """A CSV of your own to use instead: columns `text` and `label`, UTF-8."""
    group_column: str = "module"
    """Rows with the same value of this column stay in one split; no such column, no groups."""
    labels: list[str] = field(default_factory=list)
    """The labels that are allowed; empty allows every label in the file."""
    validation_fraction: float = 0.15
    """Share of the rows by which training is steered, in (0, 1)."""
    test_fraction: float = 0.15
    """Share of the rows that only `evaluate` looks at, in (0, 1)."""
    split_seed: int = 0
    """Which of the possible splits is taken."""
    max_tokens: int = 128
    """Length in tokens at which a text is cut."""
    min_count: int = 2
    """How often a token must occur in the training split to enter the vocabulary."""

    def __post_init__(self) -> None:
        check(
            "data",
            self,
            name=NOT_EMPTY,
            group_column=NOT_EMPTY,
            validation_fraction=POSITIVE,
            test_fraction=POSITIVE,
            split_seed=NOT_NEGATIVE,
            max_tokens=AT_LEAST_ONE,
            min_count=AT_LEAST_ONE,
        )
        held_out = self.validation_fraction + self.test_fraction
        require(held_out < 1, "data.validation_fraction + data.test_fraction", "< 1", held_out)
        require(len(self.labels) != 1, "data.labels", "empty or two and more", self.labels)


@dataclass(frozen=True)
class ModelConfig:
    """What every model has. One with knobs of its own has a subclass, listed in MODEL_CONFIGS."""

    name: str = "transformer"
    """The file in models/ that holds the model."""
    hidden_size: int = 64
    """Width of the embeddings and of the layers above them."""
    num_bigram_buckets: int = 32_768
    """Rows of the hashed embedding of token pairs."""
    word_dropout: float = 0.5
    """Share of tokens that are hidden in training, in [0, 1)."""
    dropout: float = 0.3
    """Share of activations that are zeroed in training, in [0, 1)."""

    def __post_init__(self) -> None:
        check(
            "model",
            self,
            name=NOT_EMPTY,
            hidden_size=up_to(65_536),
            num_bigram_buckets=up_to(2**30),
            word_dropout=SHARE,
            dropout=SHARE,
        )


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """A pre-norm transformer encoder."""

    num_layers: int = 2
    """Encoder layers."""
    num_heads: int = 4
    """Attention heads; must divide `hidden_size`."""
    feedforward_size: int = 256
    """Width of the layer inside each block's feed-forward part."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            "model",
            self,
            num_layers=up_to(1000),
            num_heads=AT_LEAST_ONE,
            feedforward_size=up_to(2**20),
        )
        divisor = f"a divisor of model.hidden_size={self.hidden_size}"
        require(self.hidden_size % self.num_heads == 0, "model.num_heads", divisor, self.num_heads)


MODEL_CONFIGS: dict[str, type[ModelConfig]] = {"transformer": TransformerConfig}
"""The models with knobs of their own; any other file in models/ is configured by `ModelConfig`."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the model is fitted, and how the run is watched and kept."""

    epochs: int = 4
    """Passes over the training split, at most."""
    batch_size: int = 32
    """Rows per optimiser step, of all workers together."""
    accumulation_steps: int = 1
    """Parts that a worker computes its share of a batch in, one after the other, to save memory."""
    learning_rate: float = 3e-3
    """Peak of the schedule: linear warm-up, then cosine to zero."""
    warmup_fraction: float = 0.1
    """Share of all steps that the learning rate rises, in [0, 1)."""
    weight_decay: float = 0.01
    """AdamW's decay of matrices; embeddings, norms and biases have none."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this L2 norm."""
    label_smoothing: float = 0.0
    """Share of the target spread evenly over all labels, in [0, 1)."""
    ema_decay: float = 0.0
    """Share of the moving average of the weights that each step keeps, in [0, 1). The average is
    what is evaluated and becomes the bundle; 0 takes the weights as they are."""
    precision: Precision = Precision.auto
    """`auto` is bfloat16 on CUDA, else float32."""
    compile: bool = False
    """Compile the model with torch.compile: a minute at the start for faster steps on a GPU."""
    deterministic: bool = False
    """Use only algorithms that give the same bits twice; slower on CUDA."""
    num_data_workers: int = 0
    """Threads that prepare batches ahead; 0 prepares each when it is needed."""
    max_steps: int | None = None
    """Optimiser steps after which training stops; null for no limit."""
    overfit_batches: int = 0
    """Train on the first batches alone, again and again and with no early stop, to see the loss
    fall to 0; 0 takes all."""
    evaluate_every_n_steps: int | None = None
    """Optimiser steps from one evaluation to the next; null evaluates at each epoch's end."""
    monitor: Metric = Metric.accuracy
    """The validation metric that picks the best weights."""
    min_delta: float = 0.0
    """By how much `monitor` must rise to count as better."""
    patience: int = 3
    """Evaluations without a better `monitor` before training stops."""
    log_every_n_steps: int = 10
    """Optimiser steps from one record of loss, norms and speed to the next."""
    checkpoint_every_n_steps: int | None = None
    """Optimiser steps between checkpoints, beside those at each evaluation; null for no more."""
    keep_checkpoints: int = 2
    """How many of the last checkpoints stay on disk, beside the best."""
    on_nonfinite: OnNonFinite = OnNonFinite.stop
    """What follows gradients that are infinite or not a number."""
    on_save_error: OnSaveError = OnSaveError.go_on
    """What follows a checkpoint that cannot be written."""
    profile_steps: int = 0
    """Steps that torch.profiler traces into reports/trace.json; 0 for none."""

    def __post_init__(self) -> None:
        check(
            "training",
            self,
            epochs=AT_LEAST_ONE,
            batch_size=AT_LEAST_ONE,
            accumulation_steps=AT_LEAST_ONE,
            learning_rate=POSITIVE,
            warmup_fraction=SHARE,
            weight_decay=NOT_NEGATIVE,
            max_grad_norm=POSITIVE,
            label_smoothing=SHARE,
            ema_decay=SHARE,
            num_data_workers=up_to(256, least=0),
            max_steps=LIMIT,
            overfit_batches=NOT_NEGATIVE,
            evaluate_every_n_steps=LIMIT,
            min_delta=NOT_NEGATIVE,
            patience=AT_LEAST_ONE,
            log_every_n_steps=AT_LEAST_ONE,
            checkpoint_every_n_steps=LIMIT,
            keep_checkpoints=AT_LEAST_ONE,
            profile_steps=NOT_NEGATIVE,
        )


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are recorded. A server's address and key are no settings: see .env.example."""

    name: str = "none"
    """The file in tracking/ that records runs; `none` records nothing."""
    experiment: str = "default"
    """Runs are grouped under this name."""
    system_metrics: bool = True
    """Record the use of CPU, memory and GPU while training."""

    def __post_init__(self) -> None:
        check("tracking", self, name=NOT_EMPTY, experiment=NOT_EMPTY)


@dataclass(frozen=True)
class RegistryConfig:
    """The quality gate: what a model must reach to become the champion."""

    model_name: str = "model"
    """Name of the registered model."""
    metric: Metric = Metric.macro_f1
    """The test metric that decides."""
    threshold: float = 0.4
    """The least value of `metric`, in [0, 1]."""
    tolerance: float = 0.0
    """How far below the present champion `metric` may lie, in [0, 1]."""

    def __post_init__(self) -> None:
        check("registry", self, model_name=FILE_NAME, threshold=UNIT, tolerance=UNIT)


@dataclass(frozen=True)
class LauncherConfig:
    """The processes and devices that train."""

    name: str = "local"
    """The file in training/launchers/ that starts the processes."""
    num_workers: int = 1
    """Processes that share each batch; `local` has one."""
    device: Device = Device.auto
    """`auto` takes CUDA, then MPS, then the CPU."""
    num_threads: int = 0
    """CPU threads of each process; 0 shares the cores of a machine among its processes."""
    max_restarts: int = 0
    """How often lost workers are replaced; they go on from the last checkpoint."""
    address: str | None = None
    """A cluster to train on; null for this machine."""

    def __post_init__(self) -> None:
        check(
            "launcher",
            self,
            name=NOT_EMPTY,
            num_workers=up_to(4096),
            num_threads=up_to(1024, least=0),
            max_restarts=NOT_NEGATIVE,
        )
        if self.name == "local":
            require(self.num_workers == 1, "launcher.num_workers", "1 if local", self.num_workers)
        if self.name in ("local", "torchrun"):
            here = f"null if {self.name}"
            require(self.address is None, "launcher.address", here, self.address)


@dataclass(frozen=True)
class Config:
    """The whole configuration, as configs/config.yaml composes it."""

    seed: int = 0
    """Seeds weights, batch order and dropout."""
    resume: str = "auto"
    """`auto` goes on with an interrupted run, `never` starts anew; or a checkpoint's path."""
    resume_changed: bool = False
    """Go on from a checkpoint although settings or data have changed since."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=TransformerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", ">= 0", self.seed)
        require_size("seed", self.seed)
        require(bool(self.resume), "resume", "auto, never or a checkpoint", self.resume)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return `{"training.epochs": "3"}` of nested settings."""
    named: dict[str, str] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        named |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": str(value)}
    return named

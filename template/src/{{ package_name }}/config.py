"""Every knob of the pipeline, typed and checked when built. What is not here cannot be set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from .rules import (
    FILE_NAME,
    Checked,
    Choice,
    Fraction,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Rule,
    require,
    within,
)


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
class DataConfig(Checked, section="data"):
    """Which rows there are, how they are split and how they are encoded."""

    name: Name = "docstrings"
    """The file in data/ whose `rows()` yields the dataset."""
    path: str | None = None
    """A CSV of your own to use instead: columns `text` and `label`, UTF-8."""
    group_column: Name = "module"
    """Rows with the same value of this column stay in one split; no such column, no groups."""
    validation_fraction: PositiveFloat = 0.15
    """Share of the rows by which training is steered, in (0, 1)."""
    test_fraction: PositiveFloat = 0.15
    """Share of the rows that only `evaluate` looks at, in (0, 1)."""
    split_seed: NonNegativeInt = 0
    """Which of the possible splits is taken."""
    encoder: Choice = field(default_factory=lambda: {"name": "text"})
    """How a row becomes tensors: `name` is a file in data/, which says what else there is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        held_out = self.validation_fraction + self.test_fraction
        require(held_out < 1, "data.validation_fraction + data.test_fraction", "< 1", held_out)


@dataclass(frozen=True)
class OptimizerConfig(Checked, section="optimizer"):
    """What changes the weights, and how fast."""

    name: Name = "flat_adamw"
    """A class of torch.optim, such as `SGD`, or a file in training/ that defines an optimizer."""
    learning_rate: PositiveFloat = 3e-3
    """The highest rate of the schedule."""
    weight_decay: NonNegativeFloat = 0.01
    """Decay of matrices and convolutions; embeddings, norms and biases have none."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the optimizer."""


@dataclass(frozen=True)
class ScheduleConfig(Checked, section="schedule"):
    """How the learning rate changes: it rises linearly, then follows a function."""

    name: Name = "cosine"
    """A function of training/schedules.py."""
    warmup_fraction: Fraction = 0.1
    """Share of all steps in which the rate rises, in [0, 1)."""
    decay_fraction: Fraction = 0.2
    """Share of the steps after the warm-up in which `wsd` falls to zero, in [0, 1)."""


@dataclass(frozen=True)
class TrainingConfig(Checked, section="training"):
    """How the model is fitted, and how the run is watched and kept."""

    epochs: PositiveInt = 4
    """Passes over the training split, at most."""
    batch_size: PositiveInt = 32
    """Rows per optimiser step, of all workers together."""
    accumulation_steps: PositiveInt = 1
    """Parts that a worker computes its share of a batch in, one after the other, to save memory."""
    learning_rate: PositiveFloat | None = None
    """The former name of `optimizer.learning_rate`, which it sets; None leaves that as it is."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this L2 norm."""
    ema_decay: Fraction = 0.0
    """Share of the moving average of the weights that each step keeps, in [0, 1). The average is
    what is evaluated and becomes the bundle; 0 takes the weights as they are."""
    precision: Precision = Precision.auto
    """`auto` is bfloat16 on CUDA, else float32."""
    compile: bool = False
    """Compile the model with torch.compile: a minute at the start for faster steps on a GPU."""
    deterministic: bool = False
    """Use only algorithms that give the same bits twice; slower on CUDA."""
    num_data_workers: Annotated[int, within(0, 256)] = 0
    """Threads that prepare batches ahead; 0 prepares each when it is needed."""
    max_steps: PositiveInt | None = None
    """Optimiser steps after which training stops; null for no limit."""
    overfit_batches: NonNegativeInt = 0
    """Train on the first batches alone, again and again and with no early stop, to see the loss
    fall to 0; 0 takes all."""
    evaluate_every_n_steps: PositiveInt | None = None
    """Optimiser steps from one evaluation to the next; null evaluates at each epoch's end."""
    monitor: str = "accuracy"
    """The validation metric that picks the best weights: `loss`, or one of the objective's."""
    min_delta: NonNegativeFloat = 0.0
    """By how much `monitor` must improve to count as better."""
    patience: PositiveInt = 3
    """Evaluations without a better `monitor` before training stops."""
    log_every_n_steps: PositiveInt = 10
    """Optimiser steps from one record of loss, norms and speed to the next."""
    checkpoint_every_n_steps: PositiveInt | None = None
    """Optimiser steps between checkpoints, beside those at each evaluation; null for no more."""
    keep_checkpoints: PositiveInt = 2
    """How many of the last checkpoints stay on disk, beside the best."""
    on_nonfinite: OnNonFinite = OnNonFinite.stop
    """What follows gradients that are infinite or not a number."""
    on_save_error: OnSaveError = OnSaveError.go_on
    """What follows a checkpoint that cannot be written."""
    callbacks: list[Any] = field(default_factory=list)
    """Callbacks beside those that are always there: names of classes in training/callbacks.py or
    of files in training/, or `{name: ..., <argument>: ...}`."""
    profile_steps: NonNegativeInt = 0
    """Steps that torch.profiler traces into reports/trace.json; 0 for none."""


@dataclass(frozen=True)
class TrackingConfig(Checked, section="tracking"):
    """Where runs are recorded. A server's address and key are no settings: see .env.example."""

    name: Name = "none"
    """The file in tracking/ that records runs; `none` records nothing."""
    experiment: Name = "default"
    """Runs are grouped under this name."""
    system_metrics: bool = True
    """Record the use of CPU, memory and GPU while training."""


@dataclass(frozen=True)
class RegistryConfig(Checked, section="registry"):
    """The quality gate: what a model must reach to become the champion."""

    model_name: Annotated[str, FILE_NAME] = "model"
    """Name of the registered model."""
    metric: str = "macro_f1"
    """The test metric that decides: `loss`, or one of the objective's."""
    threshold: float = 0.4
    """The value that `metric` must reach, from above where lower is better."""
    tolerance: NonNegativeFloat = 0.0
    """By how much `metric` may be worse than the present champion's."""


@dataclass(frozen=True)
class LauncherConfig(Checked, section="launcher"):
    """The processes and devices that train."""

    name: Name = "local"
    """The file in training/launchers/ that starts the processes."""
    num_workers: Annotated[int, within(1, 4096)] = 1
    """Processes that share each batch; `local` has one."""
    device: Device = Device.auto
    """`auto` takes CUDA, then MPS, then the CPU."""
    num_threads: Annotated[int, within(0, 1024)] = 0
    """CPU threads of each process; 0 shares the cores of a machine among its processes."""
    max_restarts: NonNegativeInt = 0
    """How often lost workers are replaced; they go on from the last checkpoint."""
    address: str | None = None
    """A cluster to train on; null for this machine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "local":
            require(self.num_workers == 1, "launcher.num_workers", "1 if local", self.num_workers)
        if self.name in ("local", "torchrun"):
            here = f"null if {self.name}"
            require(self.address is None, "launcher.address", here, self.address)


@dataclass(frozen=True)
class Config(Checked):
    """The whole configuration, as configs/config.yaml composes it."""

    seed: NonNegativeInt = 0
    """Seeds weights, batch order and dropout."""
    resume: Annotated[str, Rule("auto, never or a checkpoint", bool)] = "auto"
    """`auto` goes on with an interrupted run, `never` starts anew; or a checkpoint's path."""
    resume_changed: bool = False
    """Go on from a checkpoint although settings or data have changed since."""
    data: DataConfig = field(default_factory=DataConfig)
    model: Choice = field(default_factory=lambda: {"name": "transformer"})
    """`name` is a file in models/, which says what else can be set."""
    objective: Choice = field(default_factory=lambda: {"name": "classification"})
    """`name` is a file in objectives/, which says what else can be set."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)

    def __post_init__(self) -> None:
        super().__post_init__()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return `{"training.epochs": "3"}` of nested settings."""
    named: dict[str, str] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        named |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": str(value)}
    return named


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return, for each setting that is not the same, what it was and is."""
    names = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    return [
        f"{name}={old.get(name, 'nothing')} (now {new.get(name, 'nothing')})"
        for name in sorted(names)
    ]

"""The settings of every stage, typed and checked when they are built."""

from contextlib import suppress
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
    """What to do when a step's gradients are not finite; such a step never changes the weights."""

    stop = "stop"
    """End the run with an error; the checkpoints stay."""
    skip = "skip"
    """Skip the step."""
    lower = "lower"
    """Skip the step and halve the learning rate for the rest of the run."""


class OnSaveError(StrEnum):
    """What to do when a checkpoint cannot be written, as on a full disk."""

    continue_ = "continue"
    """Log a warning and continue; the previous checkpoint stays the last."""
    stop = "stop"
    """End the run with an error."""


class Export(StrEnum):
    """The format in which a model is kept beside its weights."""

    onnx = "onnx"
    """For ONNX Runtime, which predicts without PyTorch, and faster on a CPU."""
    int8 = "int8"
    """And with weights of int8, which ONNX Runtime then takes; `evaluate` says what that costs in
    the metrics and gains in time. An answer depends a little on the rows it is computed with.
    What PyTorch computes, as the metrics of the validation split, stays in float32."""
    none = "none"


class OnMissing(StrEnum):
    """What to do with a row that lacks a value which it needs."""

    error = "error"
    """End the stage with an error that names the row."""
    drop = "drop"
    """Leave the row out, and report it."""


class OnDuplicate(StrEnum):
    """What to do with a row whose inputs an earlier row has too."""

    drop = "drop"
    """Leave the later row out."""
    keep = "keep"
    """Keep both, in the same split unless splits are given."""
    error = "error"
    """End the stage with an error that names the rows."""


class SplitBy(StrEnum):
    """How rows are assigned to training, validation and test."""

    random = "random"
    """At random, with the same share of each label; a group stays whole."""
    time = "time"
    """In the order of the column `time`: the newest rows are tested, with their groups."""
    given = "given"
    """By the column `split`, which holds `train`, `validation` or `test`; a group in several is
    reported."""


def is_encoding(name: str) -> bool:
    """Whether Python can read text of this encoding; `auto` stands for any."""
    with suppress(LookupError, ValueError):
        return name == "auto" or "".encode(name) is not None
    return False


@dataclass(frozen=True, kw_only=True)
class DataConfig(Checked, section="data"):
    """The rows, how they are split and how they are encoded."""

    name: Name
    """The file in data/ whose `rows()` yields the dataset."""
    path: str | dict[str, str] | None = None
    """A file or folder to use instead of `rows()`; or one for each of `train`, `validation` and
    `test`, which are then the splits. CSV, JSON lines or Parquet, compressed or not."""
    columns: dict[str, Any] = field(default_factory=dict)
    """The user's column, or list of columns, for each column that the encoder and the objective
    need, where the names differ; and for `group`, `split`, `time` and `id`."""
    encoding: Annotated[str, Rule("auto or an encoding, as cp1252", is_encoding)] = "auto"
    """The encoding of a text file; `auto` finds it."""
    on_missing: OnMissing = OnMissing.error
    """What to do with a row that lacks a value."""
    on_duplicate: OnDuplicate = OnDuplicate.drop
    """What to do with a row whose inputs an earlier row has too."""
    split: SplitBy = SplitBy.random
    """How rows are split; rows with the same value in the column `group` stay together, unless
    splits are given."""
    validation_fraction: PositiveFloat = 0.15
    """Share of the rows on which training is monitored, in (0, 1)."""
    test_fraction: PositiveFloat = 0.15
    """Share of the rows that only `evaluate` uses, in (0, 1)."""
    split_seed: NonNegativeInt = 0
    """Seed of the split."""
    encoder: Choice
    """How a row becomes tensors: `name` is a file in data/, which defines the other settings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        held_out = self.validation_fraction + self.test_fraction
        require(held_out < 1, "data.validation_fraction + data.test_fraction", "< 1", held_out)
        if isinstance(self.path, dict):
            splits = "train", "validation", "test"
            is_whole = set(self.path) == set(splits)
            require(is_whole, "data.path", "files of train, validation and test", self.path)
        for name, column in self.columns.items():
            names = column if isinstance(column, list) and column else [column]
            are_names = all(isinstance(one, str) and one for one in names)
            require(are_names, f"data.columns.{name}", "a column, or a list of columns", column)


@dataclass(frozen=True)
class OptimizerConfig(Checked, section="optimizer"):
    """The optimizer and its arguments."""

    name: Name = "flat_adamw"
    """A class of torch.optim, such as `SGD`, or a file in training/ that defines an optimizer."""
    learning_rate: PositiveFloat = 3e-3
    """The peak learning rate of the schedule."""
    weight_decay: NonNegativeFloat = 0.01
    """Weight decay of matrices and convolutions; embeddings, norms and biases have none."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the optimizer."""


@dataclass(frozen=True)
class ScheduleConfig(Checked, section="schedule"):
    """The learning rate's schedule, after a linear warm-up."""

    name: Name = "cosine"
    """A function in training/schedules.py."""
    warmup_fraction: Fraction = 0.1
    """Share of the steps that warm up, in [0, 1)."""
    decay_fraction: Fraction = 0.2
    """Share of the steps after the warm-up in which `wsd` falls to zero, in [0, 1)."""


@dataclass(frozen=True)
class TrainingConfig(Checked, section="training"):
    """The training loop, its evaluations and its checkpoints."""

    epochs: PositiveInt = 4
    """Passes over the training split, at most."""
    batch_size: PositiveInt = 32
    """Rows per optimizer step, of all workers together."""
    accumulation_steps: PositiveInt = 1
    """Parts into which a worker splits its share of a batch, to save memory."""
    learning_rate: PositiveFloat | None = None
    """Deprecated name of `optimizer.learning_rate`."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this L2 norm."""
    ema_decay: Fraction = 0.0
    """Decay of an exponential moving average of the weights, in [0, 1); 0 for none. The average is
    what is evaluated and becomes the bundle."""
    precision: Precision = Precision.auto
    """`auto` is bfloat16 on CUDA, else float32."""
    compile: bool = False
    """Compile the model with torch.compile: a minute at the start for faster steps on a GPU."""
    deterministic: bool = False
    """Use deterministic algorithms only; slower on CUDA."""
    num_data_workers: Annotated[int, within(0, 256)] = 0
    """Threads that prepare batches ahead; 0 prepares them in the training loop."""
    max_steps: PositiveInt | None = None
    """Optimizer steps after which training stops; null for no limit."""
    overfit_batches: NonNegativeInt = 0
    """Train on the first batches only, without early stopping, to check that the loss falls to 0;
    0 for all batches."""
    evaluate_every_n_steps: PositiveInt | None = None
    """Optimizer steps between evaluations; null evaluates after each epoch."""
    monitor: str | None = None
    """The validation metric that picks the best weights: `loss` or one of the objective's; null
    for its first."""
    min_delta: NonNegativeFloat = 0.0
    """By how much `monitor` must improve to count as better."""
    patience: PositiveInt = 3
    """Evaluations without a better `monitor` before training stops."""
    log_every_n_steps: PositiveInt = 10
    """Optimizer steps between records of loss, norms and speed."""
    checkpoint_every_n_steps: PositiveInt | None = None
    """Optimizer steps between checkpoints, in addition to one per evaluation; null for none."""
    keep_checkpoints: PositiveInt = 2
    """How many of the last checkpoints are kept, in addition to the best."""
    on_nonfinite: OnNonFinite = OnNonFinite.stop
    """What to do when gradients are infinite or NaN."""
    on_save_error: OnSaveError = OnSaveError.continue_
    """What to do when a checkpoint cannot be written."""
    export: Export = Export.onnx
    """The format in which the best model is kept beside its weights; `onnx` takes some seconds."""
    callbacks: list[Any] = field(default_factory=list)
    """Additional callbacks: names of classes in training/callbacks.py or of files in training/, or
    `{name: ..., <argument>: ...}`."""
    profile_steps: NonNegativeInt = 0
    """Steps that torch.profiler traces into reports/trace.json; 0 for none."""


@dataclass(frozen=True)
class TrackingConfig(Checked, section="tracking"):
    """Where runs are recorded. Addresses and keys are environment variables: see .env.example."""

    name: Name = "none"
    """The file in tracking/ that records runs; `none` records nothing."""
    experiment: Name = "default"
    """Runs are grouped under this name."""
    system_metrics: bool = True
    """Record CPU, memory and GPU usage while training."""


@dataclass(frozen=True)
class RegistryConfig(Checked, section="registry"):
    """The quality gate: what a model must reach to become the champion."""

    model_name: Annotated[str, FILE_NAME] = "model"
    """Name of the registered model."""
    metric: str | None = None
    """The test metric that decides: `loss`, or one of the objective's; null for its first."""
    threshold: float | None = None
    """The value that `metric` must reach; null for one better than the constant baseline's."""
    tolerance: NonNegativeFloat = 0.0
    """By how much `metric` may be worse than the champion's."""


@dataclass(frozen=True)
class LauncherConfig(Checked, section="launcher"):
    """The processes and devices that train."""

    name: Name = "local"
    """The file in training/launchers/ that starts the processes."""
    num_workers: Annotated[int, within(1, 4096)] = 1
    """Processes that share each batch; 1 with `local`."""
    device: Device = Device.auto
    """`auto` is CUDA, else MPS, else the CPU."""
    num_threads: Annotated[int, within(0, 1024)] = 0
    """CPU threads per process; 0 divides the cores of a machine among its processes."""
    max_restarts: NonNegativeInt = 0
    """How often lost workers are restarted; they resume from the last checkpoint."""
    address: str | None = None
    """A cluster to train on; null for this machine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "local":
            require(self.num_workers == 1, "launcher.num_workers", "1 if local", self.num_workers)
        if self.name in ("local", "torchrun"):
            here = f"null if {self.name}"
            require(self.address is None, "launcher.address", here, self.address)


# Your own:


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """The whole configuration, as configs/config.yaml composes it."""

    seed: NonNegativeInt = 0
    """Seed of weights, batch order and dropout."""
    resume: Annotated[str, Rule("auto, never or a checkpoint", bool)] = "auto"
    """`auto` resumes an interrupted run, `never` starts a new one; or a checkpoint's path."""
    resume_changed: bool = False
    """Resume although settings or data have changed."""
    data: DataConfig
    model: Choice
    """`name` is a file in models/, which defines the other settings."""
    objective: Choice
    """`name` is a file in objectives/, which defines the other settings."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)
    # Your own:

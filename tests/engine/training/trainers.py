"""Trainers of the miniature dataset, and callbacks that watch or disturb them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from toy_project.config import (
    OptimizerConfig,
    TrainingConfig,
)
from toy_project.models.base import build_model
from toy_project.objectives.base import Objective
from toy_project.training.callbacks import (
    Checkpointing,
)
from toy_project.training.checkpoint import (
    Checkpoints,
)
from toy_project.training.distributed import seed_everything
from toy_project.training.trainer import (
    Callback,
    Trainer,
)

from ..conftest import encoded, make_config

CPU = torch.device("cpu")
MODEL: dict[str, Any] = {
    "name": "transformer",
    "hidden_size": 16,
    "num_bigram_buckets": 128,
    "feedforward_size": 16,
}
WITHOUT_DROPOUT = MODEL | {"dropout": 0, "word_dropout": 0}
OPTIMIZER = OptimizerConfig(learning_rate=0.01)
STEPS_PER_EPOCH = 9
"""Of the miniature dataset, in batches of 8."""


def make_trainer(
    processed,
    callbacks=(),
    *,
    model: Mapping[str, Any] = MODEL,
    objective: Objective | None = None,
    seed: int = 0,
    optimizer: OptimizerConfig = OPTIMIZER,
    **settings: Any,
) -> Trainer:
    seed_everything(seed, deterministic=False)
    training = replace(TrainingConfig(epochs=4, batch_size=8), **settings)
    config = make_config(seed=seed, optimizer=optimizer, training=training)
    return Trainer(
        build_model(model, processed.spec),
        objective or processed.spec.objective,
        config,
        device=CPU,
        callbacks=callbacks,
    )


def fit(trainer: Trainer, processed) -> Trainer:
    trainer.fit(encoded(processed, "train"), encoded(processed, "validation"))
    return trainer


def weights(trainer: Trainer) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def grads(trainer: Trainer) -> Tensor:
    [vector] = trainer.weights
    assert vector.grad is not None
    return vector.grad


def average(trainer: Trainer) -> Tensor:
    assert trainer.average is not None
    weights = trainer.evaluated_model.parameters()
    return torch.cat([parameter.detach().flatten() for parameter in weights])


class Recorder(Callback):
    """Keeps all figures but the speed, which differs from run to run."""

    def __init__(self) -> None:
        self.logs: dict[int, Mapping[str, float]] = {}
        self.evaluations: dict[int, Mapping[str, float]] = {}

    def on_log(self, trainer, metrics) -> None:
        assert metrics["samples_per_s"] > 0
        kept = {name: metrics[name] for name in metrics if name != "samples_per_s"}
        self.logs[trainer.progress.step] = kept

    def on_evaluation(self, trainer, metrics) -> None:
        self.evaluations[trainer.progress.step] = dict(metrics)


class Poison(Callback):
    """Makes the gradients of the next steps not a number, by way of the weights' gradients."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_fit_start(self, trainer) -> None:
        head = trainer.model.head.bias
        head.register_hook(
            lambda grad: grad * float("nan") if trainer.progress.step + 1 in self.steps else grad
        )


def keeping(folder, run_id: str | None = None) -> Checkpointing:
    return Checkpointing(Checkpoints(folder), settings={}, run_id=run_id)

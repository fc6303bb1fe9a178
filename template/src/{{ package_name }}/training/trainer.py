"""The training loop: `fit` runs epochs, an epoch runs steps, callbacks watch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from ..config import TrainingConfig
from ..data.dataset import Split
from ..evaluation.metrics import evaluate
from ..models.base import Model
from .distributed import (
    data_parallel,
    from_all,
    from_main,
    mean_over_ranks,
    rank,
    shard,
    world_size,
)
from .machine import rng_state, set_rng_state


@dataclass
class Progress:
    """How far training has come."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Optimiser steps done."""
    best: float = -math.inf
    """The best value of the monitored metric."""
    best_epoch: int = 0
    """The epoch, counted from 1, that reached it."""


class Callback:
    """Called by the trainer at the end of steps, epochs and all; does nothing unless overridden."""

    def on_step_end(self, trainer: "Trainer") -> None:
        """See the state after an optimiser step."""

    def on_epoch_end(self, trainer: "Trainer", metrics: Mapping[str, float]) -> None:
        """See the epoch's figures, training's and validation's."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """See the state when training is over."""


class Trainer:
    """Fits a model with AdamW, linear warm-up and cosine decay.

    Where processes train together, each has a trainer and takes its shard of every batch: the
    steps, the schedule and the gradients are those of one process. Every rank has to call each
    method, for in most of them the ranks meet.
    """

    def __init__(
        self,
        model: Model,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model = model.to(device)
        self.parallel_model = data_parallel(self.model)
        self.config = config
        self.seed = seed
        self.device = device
        self.callbacks = callbacks
        self.optimizer = make_optimizer(model, config)
        self.progress = Progress()
        self.num_steps = 0
        self.should_stop = False

    def fit(self, train: Split, validation: Split) -> Progress:
        """Train until the steps are done or a callback says stop; return how far it came."""
        steps = self.config.epochs * math.ceil(len(train) / self.config.batch_size)
        self.num_steps = min(steps, self.config.max_steps or steps)
        while self.progress.step < self.num_steps and not self.should_stop:
            metrics = self.train_epoch(train) | self.validate(validation)
            for callback in self.callbacks:
                callback.on_epoch_end(self, metrics)
        for callback in self.callbacks:
            callback.on_fit_end(self)
        return self.progress

    def train_epoch(self, train: Split) -> dict[str, float]:
        """Run the steps of one epoch; return the mean training loss and the learning rate."""
        self.model.train()
        batches = train.shuffled_batches(
            self.config.batch_size, seed=self.seed, epoch=self.progress.epoch
        )
        losses = []
        for indices in batches[: self.num_steps - self.progress.step]:
            rows, weight = shard(indices, rank(), world_size())
            losses.append(self.train_step(*train.batch(rows), weight=weight))
            for callback in self.callbacks:
                callback.on_step_end(self)
        self.progress.epoch += 1
        # The one place where the host waits for the device.
        mean_loss = mean_over_ranks(torch.stack(losses).mean()).item()
        return {"train_loss": mean_loss, "learning_rate": self.optimizer.param_groups[0]["lr"]}

    def train_step(self, inputs: Tensor, labels: Tensor, *, weight: float = 1.0) -> Tensor:
        """Take one optimiser step on a batch, or on a shard of one that counts `weight`.

        Returns its loss, detached, on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.progress.step, self.num_steps, self.config)
        logits = self.parallel_model(inputs.to(self.device))
        loss = weight * functional.cross_entropy(
            logits, labels.to(self.device), label_smoothing=self.config.label_smoothing
        )
        self.optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.progress.step += 1
        return loss.detach()

    def validate(self, validation: Split) -> dict[str, float]:
        """Return the figures of the validation split, and remember the best epoch."""
        metrics = from_main(lambda: evaluate(self.model, validation))
        if metrics[self.config.monitor] > self.progress.best:
            self.progress.best = metrics[self.config.monitor]
            self.progress.best_epoch = self.progress.epoch
        return {f"validation_{name}": value for name, value in metrics.to_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on at this epoch's end as if nothing had happened."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "rng": from_all(rng_state(self.device)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        set_rng_state(state["rng"][rank()], self.device)


def make_optimizer(model: nn.Module, config: TrainingConfig) -> AdamW:
    """Return AdamW that decays matrices only (Loshchilov & Hutter 2019, arXiv:1711.05101).

    Embeddings do not decay: a rare token would be forgotten between the batches that hold it.
    """
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    spared = {parameter for module in embeddings for parameter in module.parameters()}
    spared |= {parameter for parameter in model.parameters() if parameter.ndim < 2}
    decayed = [parameter for parameter in model.parameters() if parameter not in spared]
    others = [parameter for parameter in model.parameters() if parameter in spared]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    fused = all(parameter.device.type != "mps" for parameter in model.parameters())
    return AdamW(groups, lr=config.learning_rate, fused=fused)


def learning_rate(step: int, num_steps: int, config: TrainingConfig) -> float:
    """Return the rate of a step: linear warm-up, then cosine to zero (arXiv:1608.03983)."""
    warmup_steps = math.ceil(config.warmup_fraction * num_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

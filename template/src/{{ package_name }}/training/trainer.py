"""The training loop: `fit` takes steps, logs and evaluates in between, and callbacks watch."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..config import Config, OnNonFinite, Precision
from ..data.dataset import Split
from ..errors import ProjectError
from ..models.base import Model, evaluate
from ..objectives.base import Objective
from .batches import Batch, Part, prepared
from .distributed import (
    accumulating,
    data_parallel,
    from_all,
    from_main,
    rank,
    rng_state,
    set_rng_state,
    world_size,
)
from .optimizers import (
    build_optimizer,
    clip_grad_norm,
    load_optimizer,
    moving_average,
    parameters_of,
    step,
)
from .progress import Progress, Window, mean
from .schedules import scheduled

log = logging.getLogger(__name__)


class TrainingError(ProjectError):
    """Training cannot continue."""


class Callback:
    """Base class of callbacks, which the trainer calls on every rank. Methods do nothing here."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Run before the first step of a new or resumed run."""

    def on_log(self, trainer: "Trainer", metrics: Mapping[str, float]) -> None:
        """Run with the metrics of the steps since the last call."""

    def on_evaluation(self, trainer: "Trainer", metrics: Mapping[str, float]) -> None:
        """Run with the metrics of validation, and of training since the last evaluation."""

    def on_step_end(self, trainer: "Trainer") -> None:
        """Run after a step, after `on_log` and `on_evaluation`; training can resume from here."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Run when training has ended, normally or with an error."""


class Trainer:
    """Fits a model to a split with the loss of an objective.

    With several processes, each has a trainer and takes its shard of every batch: the steps, the
    schedule and the gradients are those of one process. Every rank must call each method, since
    most of them synchronize the ranks.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        config: Config,
        *,
        device: torch.device,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model = model.to(device)
        self.objective = objective
        self.config = config.training
        self.seed = config.seed
        self.schedule = config.schedule
        self.monitor = objective.chosen(self.config.monitor, setting="training.monitor")
        """The name of the metric that picks the best weights."""
        self.peak_rate = config.optimizer.learning_rate
        self.device = device
        self.callbacks = callbacks
        self.optimizer = build_optimizer(config.optimizer, self.model, self.model.rate_factors())
        self.weights = parameters_of(self.optimizer)
        self.average = self._new_average()
        """The moving average of the weights, or `None`."""
        # `self.model` stays as it is: the wrappers would change the names in its `state_dict`.
        self.parallel_model = data_parallel(self.model)
        compiled = self.config.compile
        self.forward = torch.compile(self.parallel_model) if compiled else self.parallel_model
        self.autocast = autocast(self.config.precision, device)
        self.progress = Progress()
        self.window = Window()
        self.num_steps = self.steps_per_epoch = 0
        self.should_stop = False
        self._start_clock()

    @property
    def epoch(self) -> float:
        """Passes over the training split so far."""
        return self.progress.step / self.steps_per_epoch

    @property
    def evaluated_model(self) -> Model:
        """The model with the weights that are evaluated, and kept when they are the best."""
        return cast(Model, self.average.module) if self.average else self.model

    @property
    def is_evaluation_due(self) -> bool:
        """Whether this step is followed by an evaluation, as the last one always is."""
        interval = self.config.evaluate_every_n_steps or self.steps_per_epoch
        return self.is_due(interval) or self.progress.step == self.num_steps

    def is_due(self, interval: int | None) -> bool:
        """Return whether the step is a multiple of `interval`; `None` means never."""
        return interval is not None and self.progress.step % interval == 0

    def fit(self, train: Split, validation: Split) -> Progress:
        """Train until all steps are done or a callback stops it; return the progress."""
        self._plan(len(train))
        self._call("on_fit_start")
        try:
            for batch in prepared(train, self._batches(train), self.config, self.device):
                if self.should_stop:
                    break
                self.train_step(batch)
                if self.is_due(self.config.log_every_n_steps) or self.is_evaluation_due:
                    self._call("on_log", self.log())
                if self.is_evaluation_due:
                    self._call("on_evaluation", self.evaluate(validation))
                self._call("on_step_end")
        finally:
            self._call("on_fit_end")
        return self.progress

    def train_step(self, batch: Batch) -> None:
        """Take one optimizer step. The host does not wait for the device."""
        self.optimizer.zero_grad()
        losses = [self._backward(part, is_last=part is batch[-1]) for part in batch]
        # A gradient that is not finite makes the norm so too: no other check is needed.
        grad_norm = clip_grad_norm(self.weights, self.config.max_grad_norm)
        step(self.optimizer, grad_norm, learning_rate=self.learning_rate(self.progress.step))
        self.progress.step += 1
        # Also after a skipped step, since only the device knows of it yet.
        if self.average:
            self.average.update_parameters(self.model)
        self.window.add(reduce(torch.add, losses), grad_norm)

    def _backward(self, part: Part, *, is_last: bool) -> Tensor:
        """Accumulate the part's gradients; return its share of the batch's loss."""
        # The ranks exchange gradients once in a step, with those of the last part.
        with accumulating(self.parallel_model, not is_last):
            with self.autocast:
                loss = self.objective.loss(self.forward(part.inputs), part.targets)
                # The weights make parts and shards of any size add up to the batch's mean.
                if part.weight != 1:
                    loss = loss * part.weight
            loss.backward()
        self._num_rows += len(part.targets)
        return loss.detach()

    def learning_rate(self, step: int) -> float:
        """Return the learning rate after `step` steps."""
        # A function of the step alone, so that a run which resumes needs no state of a scheduler.
        share = scheduled(step, self.num_steps, self.schedule)
        return self.peak_rate * share * self.progress.learning_rate_scale

    def log(self) -> dict[str, float]:
        """Return the metrics of the steps since the last log. Here the host waits for the device.

        Raises:
            TrainingError: Gradients were not finite, and `training.on_nonfinite` is `stop`.
        """
        progress = self.progress
        finite = self.window.finite_steps()
        sums = from_all(finite.sum(dim=0).tolist())
        loss_sum, norm_sum = (sum(values) / world_size() for values in zip(*sums, strict=True))
        rate = self.learning_rate(progress.step - 1)  # that of the last step, before it is halved
        self._respond(len(finite))
        elapsed_s = time.perf_counter() - self._clock
        metrics = {
            "train_loss": mean(loss_sum, len(finite)),
            "grad_norm": mean(norm_sum, len(finite)),
            "weight_norm": nn.utils.get_total_norm(self.weights).item(),
            "learning_rate": rate,
            "samples_per_s": self._num_rows * world_size() / elapsed_s,
        }
        progress.loss_sum += loss_sum
        progress.num_losses += len(finite)
        progress.logged_step = progress.step
        self.window = Window()
        self._start_clock()
        return metrics

    def _respond(self, num_finite: int) -> None:
        """Apply `training.on_nonfinite`, unless all steps since the last log were finite."""
        num_bad = self.progress.step - self.progress.logged_step - num_finite
        if not num_bad:
            return
        steps = f"steps {self.progress.logged_step + 1} to {self.progress.step}"
        message = f"{num_bad} of {steps} had gradients that are not finite"
        match self.config.on_nonfinite:
            case OnNonFinite.stop:
                raise TrainingError(
                    f"{message}; a lower optimizer.learning_rate may help, or "
                    "training.on_nonfinite=skip or lower, with resume_changed=true to continue"
                )
            case OnNonFinite.lower:
                self.progress.learning_rate_scale /= 2
                log.warning("%s: left out, the learning rate is halved", message)
            case OnNonFinite.skip:
                log.warning("%s: left out", message)

    def evaluate(self, validation: Split) -> dict[str, float]:
        """Return the metrics since the last evaluation, and record whether they are the best."""
        # Every rank gets the metrics of rank 0, so that all of them stop at the same step.
        metrics = from_main(lambda: evaluate(self.evaluated_model, self.objective, validation))
        self.model.train()
        sign, min_delta = self.objective.sign(self.monitor), self.config.min_delta
        self.progress.record(metrics[self.monitor], sign=sign, min_delta=min_delta)
        self._start_clock()  # the time of an evaluation is not that of training
        return {
            "train_loss": self.progress.take_train_loss(),
            "learning_rate": self.learning_rate(self.progress.step - 1),
            **{f"validation_{name}": metrics[name] for name in metrics},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which training can resume after this step.

        Raises:
            TrainingError: A step was not finite, and `training.on_nonfinite` is `stop`.
        """
        # Otherwise a resumed run would find the bad step in the window and stop again each time.
        if self.config.on_nonfinite is OnNonFinite.stop:
            self._respond(len(self.window.finite_steps()))
        average = {"average": self.average.state_dict()} if self.average else {}
        return average | {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "window": from_all(self.window.steps().cpu()),
            "rng": from_all(rng_state(self.device)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        # An average that is new to the run starts from the weights that were just loaded.
        self.average = self._new_average()
        if self.average and "average" in state:
            self.average.load_state_dict(state["average"])
        self.progress = Progress(**state["progress"])
        # A rank that is new to the run draws from its own seed.
        self.window = Window(state["window"][rank() % len(state["window"])].to(self.device))
        if rank() < len(state["rng"]):
            set_rng_state(state["rng"][rank()], self.device)

    def _new_average(self) -> AveragedModel | None:
        decay = self.config.ema_decay
        return moving_average(self.model, decay) if decay else None

    def _plan(self, num_rows: int) -> None:
        """Compute the number of steps."""
        num_batches = math.ceil(num_rows / self.config.batch_size)
        self.steps_per_epoch = min(num_batches, self.config.overfit_batches or num_batches)
        steps = self.config.epochs * self.steps_per_epoch
        self.num_steps = min(steps, self.config.max_steps or steps)
        self.model.train()
        self._start_clock()

    def _batches(self, train: Split) -> Iterator[Tensor]:
        """Yield the row indices of each remaining batch."""
        # Seed, epoch and position decide them, so a run may resume in the middle of an epoch.
        step = self.progress.step
        while step < self.num_steps:
            epoch, position = divmod(step, self.steps_per_epoch)
            shuffle = 0 if self.config.overfit_batches else epoch
            batches = train.shuffled_batches(self.config.batch_size, seed=self.seed, epoch=shuffle)
            rest = batches[position : min(self.steps_per_epoch, position + self.num_steps - step)]
            yield from rest
            step += len(rest)

    def _call(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)

    def _start_clock(self) -> None:
        self._clock, self._num_rows = time.perf_counter(), 0


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager:
    """Return a context in which a forward pass uses the given precision."""
    # bfloat16 has the range of float32: gradients need no scaling, unlike in float16.
    is_bfloat16 = precision is Precision.bfloat16
    if is_bfloat16 or (precision is Precision.auto and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()

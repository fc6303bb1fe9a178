"""A project's own trainer."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .workloads import RATE, Clock, Loop, Workload


class Rows:
    """Rows of one length, as a project's trainer takes them."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Some rows."""
        return self.inputs[indices], self.labels[indices]

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in order."""
        return map(self.batch, torch.arange(len(self)).split(size))

    def shuffled_batches(self, size: int, *, seed: int, epoch: int) -> list[Tensor]:
        """Return the rows of each batch."""
        generator = torch.Generator().manual_seed(seed + epoch)
        return list(torch.randperm(len(self), generator=generator).split(size))


def whole_config(package: str, **sections: Any) -> Any:
    """Return the project's configuration with these sections, of no data and no model."""
    config = import_module(f"{package}.config")
    none = {"name": "none"}
    data = config.DataConfig(name="none", encoder=none)
    return config.Config(data=data, model=none, objective=none, **sections)


def ours(package: str) -> Loop:
    """Return the project's trainer with all that it does by default, tracking included."""
    part = lambda name: import_module(f"{package}.{name}")  # noqa: E731
    trainer, callbacks, config = (
        part("training.trainer"),
        part("training.callbacks"),
        part("config"),
    )
    Split = part("data.dataset").Split

    class Ticking(trainer.Callback):
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        def on_step_end(self, _: Any) -> None:
            self.clock.tick()

    def train(work: Workload, clock: Clock) -> None:
        settings = replace(
            config.TrainingConfig(),
            epochs=1000,
            max_steps=work.num_steps,
            batch_size=work.batch_size,
            evaluate_every_n_steps=1_000_000,
        )
        tracking = config.TrackingConfig("mlflow", "benchmark", system_metrics=False)
        rows: Any = Rows(work.inputs, work.labels)
        if work.lengths is not None:
            texts = [
                row[:n].tolist() for row, n in zip(work.inputs, work.lengths.tolist(), strict=True)
            ]
            rows = Split.from_rows(texts, work.labels)
        with part("tracking.base").create_tracker(tracking).start("benchmark") as tracker:
            watching = [
                callbacks.ProgressBar(),
                callbacks.History(Path("history.csv")),
                callbacks.Tracking(tracker),
                callbacks.EarlyStopping(3),
                Ticking(clock),
            ]
            device = torch.device("cpu")
            optimizer = config.OptimizerConfig(learning_rate=RATE)
            whole = whole_config(package, optimizer=optimizer, training=settings)
            labels = tuple(f"label {number}" for number in range(int(work.labels.max()) + 1))
            objective = part("objectives.classification").Classification(labels)
            model = work.make()
            one = trainer.Trainer(model, objective, whole, device=device, callbacks=watching)
            none = dict.fromkeys(("train_loss", "validation_loss", "validation_accuracy"), 0.0)
            one.evaluate = lambda _: none
            one.fit(rows, rows)

    return train

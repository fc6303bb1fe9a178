"""Prints how long a training step takes beside other trainers' on the same model and data.

Run it in a project that was set up, with its own Python, into which the rivals were installed:

    cd my-project && uv pip install "lightning>=2.6,<2.7" transformers accelerate
    .venv/bin/python /path/to/benchmarks/training.py --rounds 9

All loops run in one process on one thread, in turn, each with a new model in each round. What is
timed is from the end of the first few steps to that of the last, so setting up is nobody's. Every
loop shuffles, clips, follows a schedule and shows progress, but for the bare one, which only
shuffles; none writes checkpoints. A run is too short for our tracking to send what it keeps: what
that costs benchmarks/tracking.py measures. Compare the ratios: medians over rounds, of what stands
beside each other in a round.
"""

import argparse
import contextlib
import io
import logging
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

WARM_UP = 20
"""Steps before the clock starts."""
RATE, WEIGHT_DECAY, MAX_NORM = 1e-3, 0.01, 1.0


@dataclass(frozen=True)
class Workload:
    """A model and its data."""

    name: str
    make: Callable[[], nn.Module]
    inputs: Tensor
    """[rows, ...]; padded with 0 to the longest."""
    labels: Tensor
    lengths: Tensor | None
    """Of each row before padding, where they differ."""
    batch_size: int
    num_steps: int


class Terminal(io.StringIO):
    """What progress bars take for a terminal."""

    def isatty(self) -> bool:
        """It says that it is one."""
        return True


class Clock:
    """The time at which steps end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        """A step has ended."""
        self.ends.append(time.perf_counter())

    @property
    def step_us(self) -> float:
        """Microseconds a step, without the first."""
        return 1e6 * (self.ends[-1] - self.ends[WARM_UP - 1]) / (len(self.ends) - WARM_UP)


Loop = Callable[[Workload, Clock], None]


def mlp() -> nn.Module:
    """Two layers for 32 numbers."""
    return nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 8))


class Encoder(nn.Module):
    """A transformer encoder of token ids, where 0 is padding."""

    def __init__(self, width: int, num_layers: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(4096, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [batch, 8] of ids [batch, length]."""
        hidden = self.layers(self.tokens(inputs), src_key_padding_mask=inputs == 0)
        return self.head(hidden.mean(dim=1))


def workloads(scale: float) -> Iterator[Workload]:
    """What is trained; `scale` shortens it."""
    draw = torch.Generator().manual_seed(0)
    numbers = torch.randn(8192, 32, generator=draw)
    labels = torch.randint(8, (8192,), generator=draw)
    steps = max(WARM_UP + 5, round(2000 * scale))
    yield Workload("tiny MLP, batch 64", mlp, numbers, labels, None, 64, steps)
    ids = torch.randint(1, 4096, (2048, 32), generator=draw)
    steps = max(WARM_UP + 5, round(60 * scale))
    encoder = lambda: Encoder(64, 2)  # noqa: E731
    yield Workload("transformer", encoder, ids, labels[:2048], None, 26, steps)
    lengths = (torch.randn(2048, generator=draw) * 0.8 + 3).exp().long().clamp(4, 128)
    ids = torch.randint(1, 4096, (2048, 128), generator=draw)
    ids[torch.arange(128) >= lengths.unsqueeze(-1)] = 0
    yield Workload("text of mixed length", encoder, ids, labels[:2048], lengths, 16, steps)


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
        """The rows of each batch."""
        generator = torch.Generator().manual_seed(seed + epoch)
        return list(torch.randperm(len(self), generator=generator).split(size))


def ours(package: str) -> Loop:
    """The project's trainer with all that it does by default, tracking included."""
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
            learning_rate=RATE,
            evaluate_every_n_steps=1_000_000,
        )
        tracking = config.TrackingConfig("mlflow", "benchmark", system_metrics=False)
        rows: Any = Rows(work.inputs, work.labels)
        if work.lengths is not None:
            texts = [
                row[:n].tolist() for row, n in zip(work.inputs, work.lengths.tolist(), strict=True)
            ]
            rows = Split.from_rows(texts, work.labels.tolist())
        with part("tracking.base").create_tracker(tracking).start() as tracker:
            watching = [
                callbacks.ProgressBar(),
                callbacks.History(Path("history.csv")),
                callbacks.Tracking(tracker),
                callbacks.EarlyStopping(3),
                Ticking(clock),
            ]
            device = torch.device("cpu")
            one = trainer.Trainer(work.make(), settings, seed=0, device=device, callbacks=watching)
            one.evaluate = lambda _: dict.fromkeys(("train_loss", "validation_loss"), 0.0)
            one.fit(rows, rows)

    return train


def bare(work: Workload, clock: Clock) -> None:
    """The least that trains: slices, unfused AdamW; no clipping, schedule or progress."""
    model = work.make()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    for indices in endless(len(work.labels), work.batch_size, work.num_steps):
        loss = functional.cross_entropy(model(work.inputs[indices]), work.labels[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.tick()


def endless(num_rows: int, size: int, num_steps: int) -> Iterator[Tensor]:
    """The rows of each batch, epoch after epoch."""
    per_epoch = math.ceil(num_rows / size)
    for step in range(num_steps):
        if step % per_epoch == 0:
            batches = torch.randperm(num_rows).split(size)
        yield batches[step % per_epoch]


def loader(work: Workload) -> DataLoader:
    """PyTorch's own, as everybody writes it."""
    dataset = TensorDataset(work.inputs, work.labels)
    return DataLoader(dataset, work.batch_size, shuffle=True)


def cosine(optimizer: Any, work: Workload) -> Any:
    """The schedule of the rivals, step by step."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, work.num_steps)


def pattern(work: Workload, clock: Clock) -> None:
    """The loop of many a tutorial: DataLoader, AdamW, clipping, tqdm, `loss.item()`."""
    from tqdm import tqdm

    model = work.make()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    scheduler = cosine(optimizer, work)
    total_loss, step = 0.0, 0
    while step < work.num_steps:
        model.train()
        for inputs, labels in tqdm(loader(work), desc="Training", file=Terminal()):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
            total_loss += loss.item()
            clock.tick()
            step += 1
            if step == work.num_steps:
                break
        scheduler.step()


def lightning(*, is_tuned: bool) -> Loop:
    """Lightning without checkpoints; or fused, on sliced batches, with all off that can be."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self, work: Workload) -> None:
            super().__init__()
            self.model, self.work = work.make(), work

        def training_step(self, batch: Any, _: int) -> Tensor:
            loss = functional.cross_entropy(self.model(batch[0]), batch[1])
            if not is_tuned:
                self.log("train_loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), RATE, fused=is_tuned or None)
            schedule = {"scheduler": cosine(optimizer, self.work), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    class Ticking(lightning.Callback):
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        def on_train_batch_end(self, *_: Any) -> None:
            self.clock.tick()

    def train(work: Workload, clock: Clock) -> None:
        off = {"barebones": True} if is_tuned else {"logger": True, "enable_checkpointing": False}
        one = lightning.Trainer(
            accelerator="cpu",
            max_steps=work.num_steps,
            max_epochs=-1,
            gradient_clip_val=MAX_NORM,
            callbacks=[Ticking(clock)],
            **off,
        )
        one.fit(Module(work), Sliced(work) if is_tuned else loader(work))

    return train


class Sliced:
    """Batches by slicing tensors, cut to their longest row: an expert's DataLoader."""

    def __init__(self, work: Workload) -> None:
        self.work = work

    def __len__(self) -> int:
        return math.ceil(len(self.work.labels) / self.work.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in endless(len(self.work.labels), self.work.batch_size, len(self)):
            inputs, lengths = self.work.inputs[indices], self.work.lengths
            if lengths is not None:
                inputs = inputs[:, : int(lengths[indices].max())]
            yield inputs, self.work.labels[indices]


def hugging_face(work: Workload, clock: Clock) -> None:
    """The Trainer of transformers, as it comes, without a tracker."""
    import transformers

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = work.make()

        def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.model(inputs)
            return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    class Ticking(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    class Named(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(work.labels)

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            return {"inputs": work.inputs[index], "labels": work.labels[index]}

    arguments = transformers.TrainingArguments(
        output_dir="hugging_face",
        max_steps=work.num_steps,
        per_device_train_batch_size=work.batch_size,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    transformers.Trainer(Wrapped(), arguments, train_dataset=Named(), callbacks=[Ticking()]).train()


def accelerate(work: Workload, clock: Clock) -> None:
    """Accelerate's prepared model, optimizer, loader and schedule, with a bar."""
    from accelerate import Accelerator
    from tqdm import tqdm

    accelerator = Accelerator(cpu=True)
    model = work.make()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    model, optimizer, batches, scheduler = accelerator.prepare(
        model, optimizer, loader(work), cosine(optimizer, work)
    )
    bar, step = tqdm(total=work.num_steps, file=Terminal()), 0
    while step < work.num_steps:
        for inputs, labels in batches:
            loss = functional.cross_entropy(model(inputs), labels)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            bar.update()
            clock.tick()
            step += 1
            if step == work.num_steps:
                break


def main() -> None:
    """Prints a table for each workload."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of steps")
    options = parser.parse_args()
    [package] = [path.parent.name for path in Path("src").glob("*/train.py")]
    sys.path.insert(0, str(Path("src").resolve()))
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    loops: dict[str, Loop] = {
        "this project": ours(package),
        "bare loop, unfused AdamW": bare,
        "the pattern's loop": pattern,
        "Lightning": lightning(is_tuned=False),
        "Lightning, tuned": lightning(is_tuned=True),
        "HF Trainer": hugging_face,
        "Accelerate": accelerate,
    }
    versions = [
        f"{name} {metadata.version(name)}"
        for name in ("torch", "lightning", "transformers", "accelerate")
    ]
    print(f"{', '.join(versions)}; one thread, {options.rounds} rounds")
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        for work in workloads(options.scale):
            print_table(work, measured(work, loops, options.rounds))


def measured(work: Workload, loops: dict[str, Loop], rounds: int) -> dict[str, list[float]]:
    """Microseconds a step of each loop in each round, and one round before that nobody counts."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name, train in loops.items():
            clock, silent = Clock(), Terminal()
            torch.manual_seed(number)
            with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
                train(work, clock)
            assert len(clock.ends) == work.num_steps, (name, len(clock.ends))
            if number:
                times[name].append(clock.step_us)
    return times


def print_table(work: Workload, times: Mapping[str, Sequence[float]]) -> None:
    """Medians, quartiles, and how many times as long as ours each takes."""
    own = times["this project"]
    print(f"\n{work.name}: {work.num_steps} steps\n")
    print(f"| {'loop':26} | {'µs a step':>10} | {'quartiles':>17} | ratio to ours |")
    print(f"|{'-' * 28}|{'-' * 12}|{'-' * 19}|{'-' * 15}|")
    for name, values in times.items():
        quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        ratio = statistics.median(other / mine for other, mine in zip(values, own, strict=True))
        spread = f"{quartiles[0]:.0f}-{quartiles[2]:.0f}"
        print(f"| {name:26} | {statistics.median(values):10.0f} | {spread:>17} | {ratio:13.2f} |")


if __name__ == "__main__":
    main()

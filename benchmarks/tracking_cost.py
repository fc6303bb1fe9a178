"""Measure a training step with tracking in SQLite, and the same step without."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

LOG_EVERY_N_STEPS = 10
FIGURES = ("train_loss", "learning_rate", "gradient_norm", "parameter_norm", "samples_per_s")
ROW = "{:22}{:>8}{:>9}{:>10}{:>10}{:>16}{:>12}{:>15}{:>13}"
TITLES = (
    "step",
    "steps",
    "ms",
    "wall",
    "cpu",
    "cpu, 25-75 %",
    "its part",
    "other process",
    "end of run",
)


@dataclass(frozen=True)
class Taken:
    """Times of one run: its steps, and its end."""

    wall_s: float
    cpu_s: float
    tracking_s: float
    """CPU time of tracking's calls."""
    other_s: float = 0
    """Processor time of the process that delivers, from its start."""
    end_s: float = 0


def run(package: str, *, rounds: int, seconds: float) -> None:
    """Print, for two sizes of step, the ratio of a run with tracking to one without.

    The runs alternate, since the speed of a shared machine varies. CPU is that of
    all threads; `its part` is that of tracking's calls over that of the rest, in one run; `other
    process` is the CPU of the process that delivers, over that of training.
    """
    torch.set_num_threads(1)
    print(ROW.format(*TITLES))
    with TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        here = Path.cwd()
        os.chdir(folder)
        try:
            for name, step in (("tiny MLP, batch 64", mlp()), ("25 ms", of_25_ms())):
                _compare(name, step, package, rounds=rounds, seconds=seconds)
        finally:
            os.chdir(here)


def mlp() -> Callable[[], None]:
    """Return a step of a small MLP: forward, backward, clipping, fused AdamW."""
    return _step_of(nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)), width=32)


def of_25_ms() -> Callable[[], None]:
    """Return the same step of an MLP so wide that it takes 25 ms."""
    width = 128
    while True:
        layers = [layer for _ in range(4) for layer in (nn.Linear(width, width), nn.ReLU())]
        step = _step_of(nn.Sequential(*layers, nn.Linear(width, 8)), width=width)
        if _cpu_ms(step) > 25:
            return step
        width += 32


def _step_of(model: nn.Module, *, width: int) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    inputs, labels = torch.randn(64, width), torch.randint(8, (64,))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def _cpu_ms(step: Callable[[], None]) -> float:
    step()
    start = time.process_time()
    for _ in range(10):
        step()
    return (time.process_time() - start) * 100


def _compare(
    name: str, step: Callable[[], None], package: str, *, rounds: int, seconds: float
) -> None:
    steps = int(seconds * 1000 / _cpu_ms(step))
    pairs = [(_plain(step, steps), _tracked(step, steps, package)) for _ in range(rounds + 1)][1:]
    wall = statistics.median(tracked.wall_s / plain.wall_s for plain, tracked in pairs)
    cpu = [tracked.cpu_s / plain.cpu_s for plain, tracked in pairs]
    low, middle, high = statistics.quantiles(cpu, n=4) if rounds > 1 else cpu * 3
    other = statistics.median(t.other_s / t.cpu_s for _, t in pairs)
    end_ms = statistics.median(tracked.end_s for _, tracked in pairs) * 1000
    step_ms = statistics.median(plain.cpu_s for plain, _ in pairs) / steps * 1000
    part = statistics.median(t.tracking_s / (t.cpu_s - t.tracking_s) for _, t in pairs)
    figures = (f"{step_ms:.3f}", f"{wall:.4f}", f"{middle:.4f}", f"{low:.3f}-{high:.3f}")
    print(
        ROW.format(name, steps, *figures, f"{part:.2%}", f"{other:.1%}", f"{end_ms:.0f} ms"),
        flush=True,
    )


def _plain(step: Callable[[], None], steps: int) -> Taken:
    return _timed(step, steps, lambda figures, number: None)


def _tracked(step: Callable[[], None], steps: int, package: str) -> Taken:
    base = import_module(f"{package}.tracking.base")
    config = import_module(f"{package}.config").TrackingConfig("mlflow")
    children_s = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    tracker: Any = base.create_tracker(config).start("cost")
    taken = _timed(step, steps, lambda figures, number: tracker.log_metrics(figures, step=number))
    start = time.perf_counter()
    tracker.finish()
    other_s = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - children_s
    return replace(taken, other_s=other_s, end_s=time.perf_counter() - start)


def _timed(
    step: Callable[[], None], steps: int, log: Callable[[Mapping[str, float], int], None]
) -> Taken:
    wall, cpu, calls = time.perf_counter(), time.process_time(), 0.0
    for number in range(1, steps + 1):
        step()
        if number % LOG_EVERY_N_STEPS == 0:
            figures = {name: number * 0.1 for name in FIGURES}
            first, second = time.thread_time(), time.thread_time()
            log(figures, number)
            calls += time.thread_time() - second - (second - first)  # less what the clock takes
    taken_s = time.perf_counter() - wall, time.process_time() - cpu
    return Taken(*taken_s, calls)

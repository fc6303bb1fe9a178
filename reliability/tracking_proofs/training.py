"""Train a small model and record known figures, for drills that kill it or its server.

    python -m tracking_proofs.training PACKAGE REPORT FIRST_STEP LAST_STEP [RUN_ID]

REPORT gets a line of JSON with the run's id once it has begun, one when the last step is done, with
what tracking held it up, and one when the run has ended.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

BUNDLE = Path("models/bundle")
LOG_EVERY_N_STEPS = 10
FIGURES = ("train_loss", "learning_rate", "gradient_norm")
STEP_S = 0.004


def small_step() -> Callable[[], None]:
    """Return a training step of a small MLP."""
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8))
    optimizer = torch.optim.AdamW(model.parameters())
    inputs, labels = torch.randn(64, 32), torch.randint(8, (64,))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return step


def value(name: str, step: int) -> float:
    """Return what is logged at a step, always the same."""
    return (FIGURES.index(name) + 1) / step


def main() -> None:
    """Train from a step to a step."""
    package, report, first, last, *run_id = sys.argv[1:]
    torch.set_num_threads(1)
    base = import_module(f"{package}.tracking.base")
    config = import_module(f"{package}.config")
    none = {"name": "none"}
    data = config.DataConfig(name="none", encoder=none)
    whole = config.Config(data=data, model=none, objective=none)
    tracking = config.TrackingConfig("mlflow", experiment="drills", system_metrics=False)
    with (
        base.create_tracker(tracking).start(
            "drill", run_id=run_id[0] if run_id else None
        ) as tracker,
        Path(report).open("a") as lines,
    ):

        def say(**figures: object) -> None:
            print(json.dumps(figures), file=lines, flush=True)

        say(run_id=tracker.run_id)
        held_s = _timed(lambda: tracker.log_config(whole, tags={"data_hash": "0"}))
        held_s += _train(tracker.log_metrics, int(first), int(last))
        say(over=time.time(), held_s=held_s)
        tracker.log_folder(BUNDLE, "model")
    with Path(report).open("a") as lines:
        print(json.dumps({"ended": time.time()}), file=lines)


def _train(log_metrics: Callable[..., None], first: int, last: int) -> float:
    """Run the steps; return the seconds in which tracking held them up."""
    step, held_s = small_step(), 0.0
    for number in range(first, last + 1):
        deadline = time.perf_counter() + STEP_S
        step()
        time.sleep(max(0, deadline - time.perf_counter()))
        if number % LOG_EVERY_N_STEPS == 0:
            figures = {name: value(name, number) for name in FIGURES}
            held_s += _timed(lambda: log_metrics(figures, step=number))  # noqa: B023
    return held_s


def _timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

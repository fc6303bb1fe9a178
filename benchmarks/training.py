"""Compare the time of a training step with other trainers' on the same model and data.

Run it in a project that was set up, with its own Python, into which the rivals were installed:

    cd my-project && uv pip install "lightning>=2.6,<2.7" transformers accelerate
    .venv/bin/python /path/to/benchmarks/training.py --rounds 9

In a project of images its CNN is trained instead; in one of tables its MLP, with `skorch` and
`pytorch-tabular` beside it.

All loops run in one process on one thread, in turn, each with a new model in each round. The time
is taken from the end of the first few steps to the end of the last, so it contains no setup. Every
loop shuffles, clips, follows a schedule and shows progress, except the bare one, which only
shuffles; none writes checkpoints. Runs are too short for tracking to send its journal, which
benchmarks/tracking.py measures. Compare the ratios: medians, over rounds, of the ratio within a
round.
"""

import argparse
import contextlib
import logging
import os
import statistics
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from training_loops.image import image
from training_loops.ours import ours
from training_loops.rivals import accelerate, bare, hugging_face, lightning, pattern
from training_loops.table import RIVALS, table
from training_loops.workloads import Clock, Loop, Terminal, Workload, workloads


def main() -> None:
    """Print a table for each workload."""
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
    packages = ["torch", "lightning", "transformers", "accelerate"]
    works = table(package, options.scale)
    if works:
        loops |= RIVALS
        packages += ["skorch", "pytorch-tabular"]
    works += image(package, options.scale)
    versions = [f"{name} {metadata.version(name)}" for name in packages]
    print(f"{', '.join(versions)}; one thread, {options.rounds} rounds")
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        for work in works or workloads(options.scale):
            print_table(work, measured(work, loops, options.rounds))


def measured(work: Workload, loops: dict[str, Loop], rounds: int) -> dict[str, list[float]]:
    """Return the µs per step of each loop in each round, after one warm-up round."""
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
    """Print medians, quartiles, and each loop's time divided by ours."""
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

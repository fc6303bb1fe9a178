"""Print how long each step to a first trained, evaluated and served model takes.

    python benchmarks/first_model.py [--rounds N] [--modality text|image|tabular]

For texts, the generator is compared with a bare script, which gets the dataset that the project
fetched and saves a model. uv's cache is filled before; every round starts from nothing else.
"""

import argparse
import os
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from generator import ROOT, Bench, Case, Cost, Raw, print_versions, remove, timed

SCRIPT = Path(__file__).with_name("bare_script.py")
SERVE = """
import sys
from pathlib import Path
from demo import ENV, server
with server(Path(sys.argv[1]), env=ENV):
    pass
"""
"""Starts a project's server, and ends when it has a model."""
# The command of each step, by its name.
Steps = Mapping[str, Sequence[str | Path]]


def main() -> None:
    """Measure both, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Raw)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modality", choices=["text", "image", "tabular"], default="text")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="mlscaffold-benchmark-") as folder:
        bench = Bench(Path(folder).resolve(), arguments.rounds)
        bench.set_up()
        os.environ["PYTHONPATH"] = str(ROOT / "demo")
        os.environ["UV_CONFIG_FILE"] = str(ROOT / "demo" / "uv.toml")  # the same PyTorch
        print_versions(bench, f"python benchmarks/first_model.py {shlex.join(sys.argv[1:])}")
        project, script = bench.folder / "toy", bench.folder / "script"
        ways = {project: of_generator(bench, project, arguments.modality)}
        if arguments.modality == "text":
            ways[script] = of_script(project, script)
        for folder, steps in ways.items():
            walk(bench, {name: steps[name] for name in list(steps)[:2]})
            remove(folder)
        costs = {folder: [] for folder in ways}
        for _ in range(bench.rounds):
            for folder in ways:
                remove(folder)
            for folder, steps in ways.items():
                costs[folder].append(walk(bench, steps))
        for folder, steps in ways.items():
            print_steps(steps, costs[folder])


def of_generator(bench: Bench, project: Path, modality: str) -> Steps:
    """Return the steps from nothing to the model's test scores and a server that has it."""
    targets = ("setup", "fetch", "preprocess", "train", "evaluate")
    return {
        "mlscaffold new": [
            *(bench.mlscaffold, "new", project, "--defaults", "-d", f"modality={modality}")
        ],
        **{f"make {target}": ["make", "-C", project, target] for target in targets},
        "make serve, until it is ready": [sys.executable, "-c", SERVE, project],
    }


def of_script(project: Path, folder: Path) -> Steps:
    """Return the steps from an empty folder to weights on disk and an accuracy."""
    python, data = folder / "bin" / "python", project / "data" / "raw" / "dataset.parquet"
    install = ["uv", "pip", "install", "--python", python]
    return {
        "uv venv": ["uv", "venv", "--quiet", "--python", sys.executable, folder],
        "uv pip install torch": [*install, "torch", "numpy", "pyarrow"],
        "python bare_script.py": [python, SCRIPT, data, folder / "model.pt"],
    }


def walk(bench: Bench, steps: Steps) -> list[Cost]:
    """Run the steps; return the cost of each."""
    return [timed(Case(command), cwd=bench.folder) for command in steps.values()]


def print_steps(steps: Steps, rounds: Sequence[Sequence[Cost]]) -> None:
    """Print the median of each step, and of the whole way."""
    print("\n| step | wall s | CPU s |")
    print("|---|---|---|")
    for name, costs in zip(steps, zip(*rounds, strict=True), strict=True):
        wall, cpu = medians([[cost] for cost in costs])
        print(f"| {name} | {wall:.1f} | {cpu:.1f} |")
    wall, cpu = medians(rounds)
    print(f"| *together* | {wall:.1f} | {cpu:.1f} |", flush=True)


def medians(rounds: Sequence[Sequence[Cost]]) -> tuple[float, float]:
    """Return the medians of the rounds' wall clocks and processor times."""
    walls = statistics.median(sum(cost.wall_s for cost in costs) for costs in rounds)
    cpus = statistics.median(sum(cost.cpu_s for cost in costs) for costs in rounds)
    return walls, cpus


if __name__ == "__main__":
    main()

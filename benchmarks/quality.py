"""Compare the default model's test metrics with two baselines' on the same splits.

Run it in a project that was set up (`make setup`), with that project's own Python:

    cd my-project && .venv/bin/python /path/to/benchmarks/quality.py --modality image --seeds 0 1 2

Each seed is that of the split and that of the training. For regression on tables:

    .venv/bin/python /path/to/benchmarks/quality.py --modality diabetes experiment=diabetes
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

STAGES = ("preprocess", "train", "evaluate")
SVM = "svm"


class Comparison(NamedTuple):
    """What is compared in the default data of a modality."""

    metrics: tuple[str, ...]
    baselines: tuple[str, ...]
    """Of reports/metrics.json, or `svm`, which is fitted here."""


COMPARISONS = {
    "text": Comparison(("accuracy", "macro_f1"), ("majority", "tfidf_logistic_regression")),
    "image": Comparison(("accuracy",), ("pixels_logistic_regression", SVM)),
    "tabular": Comparison(("auroc",), ("onehot_logistic_regression", "table_gradient_boosting")),
    "diabetes": Comparison(("rmse",), ("onehot_ridge", "table_gradient_boosting")),
}
"""By modality; for tables also the data of `experiment=diabetes`."""


def main() -> None:
    """Run the stages once per seed and print a line for each, then the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modality", choices=COMPARISONS, default="text")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("overrides", nargs="*", help="settings such as model=mlp")
    arguments = parser.parse_args()
    [package] = [path.parent.name for path in Path("src").glob("*/train.py")]
    comparison = COMPARISONS[arguments.modality]
    run_stage(package, "fetch", arguments.overrides)
    names = ("model", *comparison.baselines)
    columns = [f"{metric} of {name}" for metric in comparison.metrics for name in names]
    print(f"| split | {' | '.join(columns)} | training |")
    print(f"|{'---|' * (len(columns) + 2)}")
    rows = [measured(package, seed, arguments.overrides, comparison) for seed in arguments.seeds]
    print_row("mean", [statistics.mean(column) for column in zip(*rows, strict=True)])


def measured(package: str, seed: int, overrides: list[str], comparison: Comparison) -> list[float]:
    """Each metric of the model and of the baselines, and the seconds of the train stage."""
    both = (f"data.split_seed={seed}", f"seed={seed}")
    settings = [*overrides, *both, "tracking=none", "resume=never"]
    seconds = {stage: run_stage(package, stage, settings) for stage in STAGES}
    ours: dict[str, Any] = json.loads(Path("reports/metrics.json").read_text("utf-8"))
    others = dict(ours["baselines"])
    if SVM in comparison.baselines:
        others[SVM] = {"accuracy": svm_accuracy()}
    methods: list[Mapping[str, float]] = [ours, *(others[name] for name in comparison.baselines)]
    figures = [method[metric] for metric in comparison.metrics for method in methods]
    print_row(str(seed), [*figures, seconds["train"]])
    return [*figures, seconds["train"]]


def svm_accuracy() -> float:
    """The test accuracy of a support vector machine on the pixels of the training split."""
    from safetensors.numpy import load_file
    from sklearn.svm import SVC

    train, test = (load_file(f"data/processed/{name}.safetensors") for name in ("train", "test"))
    pixels = [split["values"].reshape(len(split["values"]), -1) / 255 for split in (train, test)]
    classifier = SVC(C=10).fit(pixels[0], train["targets"])  # an RBF kernel, scaled to the data
    return float(classifier.score(pixels[1], test["targets"]))


def run_stage(package: str, stage: str, settings: list[str]) -> float:
    """Run a stage and return its duration in seconds; exit with its output if it fails."""
    start = time.perf_counter()
    command = [sys.executable, "-m", f"{package}.{stage}", *settings]
    environment = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start


def print_row(name: str, figures: list[float]) -> None:
    """Print the figures of one split."""
    *scores, seconds = figures
    print(
        f"| {name} | {' | '.join(f'{one:.4f}' for one in scores)} | {seconds:.0f} s |", flush=True
    )


if __name__ == "__main__":
    main()

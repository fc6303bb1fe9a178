"""Compare the default model's test accuracy and macro F1 with TF-IDF's, on several splits.

Run it in a project that was set up (`make setup`), with that project's own Python:

    cd my-project && .venv/bin/python /path/to/benchmarks/quality.py --seeds 0 1 2
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STAGES = ("preprocess", "train", "evaluate")
TFIDF = "tfidf_logistic_regression"


def main() -> None:
    """Run the stages once per split seed and print a line for each, then the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("overrides", nargs="*", help="settings such as model=mlp")
    arguments = parser.parse_args()
    [package] = [path.parent.name for path in Path("src").glob("*/train.py")]
    if not Path("data/raw/dataset.csv").exists():
        run_stage(package, "fetch", [])
    print(f"{'split':8}{'accuracy':>10}{'TF-IDF':>10}{'ratio':>8}", end="")
    print(f"{'macro F1':>10}{'TF-IDF':>10}{'ratio':>8}{'training':>10}")
    rows = [measured(package, seed, arguments.overrides) for seed in arguments.seeds]
    print_row("mean", [statistics.mean(column) for column in zip(*rows, strict=True)])


def measured(package: str, seed: int, overrides: list[str]) -> list[float]:
    """Accuracy and macro F1, ours and TF-IDF's, and the seconds of the train stage."""
    settings = [*overrides, f"data.split_seed={seed}", "tracking=none", "resume=never"]
    seconds = {stage: run_stage(package, stage, settings) for stage in STAGES}
    ours: dict[str, Any] = json.loads(Path("reports/metrics.json").read_text("utf-8"))
    theirs = ours["baselines"][TFIDF]
    pairs = [scores[name] for name in ("accuracy", "macro_f1") for scores in (ours, theirs)]
    print_row(str(seed), [*pairs, seconds["train"]])
    return [*pairs, seconds["train"]]


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
    """Print the figures of one split, with the ratios of ours to TF-IDF's."""
    accuracy, tfidf_accuracy, macro_f1, tfidf_macro_f1, seconds = figures
    print(f"{name:8}{accuracy:10.4f}{tfidf_accuracy:10.4f}{accuracy / tfidf_accuracy:8.3f}", end="")
    print(f"{macro_f1:10.4f}{tfidf_macro_f1:10.4f}{macro_f1 / tfidf_macro_f1:8.3f}", end="")
    print(f"{seconds:8.0f} s", flush=True)


if __name__ == "__main__":
    main()

"""Proves that training resumes after any interruption to the same result, bit for bit.

Run it in a project that was set up (`make setup`) and has its data (`make preprocess`), with that
project's own Python:

    cd my-project && .venv/bin/python /path/to/benchmarks/resume.py --trials 200

A server process imports PyTorch once and forks a process for each training, and each other stage.
What is compared are bytes: the weights in the bundle, and the curve of losses and validation
figures; or all files that a stage makes. Every trial has a number, and all that it does but the
instant of a signal depends on it. The last column must be 0.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from resume_proofs import disks, interruptions, stages
from resume_proofs.lab import Lab, Row

PROOFS: dict[str, Callable[[Lab, int, int], Row]] = {
    "kill": partial(interruptions.signals, number=signal.SIGKILL),
    "terminate": partial(interruptions.signals, number=signal.SIGTERM),
    "damage": interruptions.damage,
    "poison": interruptions.poison,
    "kill-at-changes": partial(
        disks.changes, name="killed at each change", strike=disks.kill, events=disks.CHANGES
    ),
    "fail-once": partial(
        disks.changes, name="disk full at a change", strike=disks.fail, events=disks.NEED_SPACE
    ),
    "fail-from": partial(
        disks.changes,
        name="disk full from there on",
        strike=disks.fail_from,
        events=disks.NEED_SPACE,
    ),
    "full-disk": disks.full_disk,
    "pairs": interruptions.pairs,
    "kill-preprocess": partial(stages.kills, stage=stages.PREPROCESS),
    "kill-evaluate": partial(stages.kills, stage=stages.EVALUATE),
    "kill-register": partial(stages.kills, stage=stages.REGISTER),
}
SHARE = {"kill": 1.0, "terminate": 0.25, "damage": 5.0, "poison": 0.1, "pairs": 0.5}
"""Trials of a proof for one of `--trials`, where it is not one."""


def main() -> int:
    """Prints a row for each proof; returns 1 when anything went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20, help="kills; others have a share of that")
    parser.add_argument("--seed", type=int, default=0, help="the first trial's number")
    parser.add_argument("--only", nargs="+", choices=PROOFS, default=list(PROOFS))
    options = parser.parse_args()
    [package] = [path.parent.name for path in Path("src").glob("*/train.py")]
    sys.path.insert(0, "src")
    wrong: list[str] = []
    print(f"{'what happens':26}{'trials':>7}{'seconds':>9}  {'came to':54}{'wrong':>5}")
    with TemporaryDirectory(prefix="resume-") as folder:
        lab = Lab(package, Path.cwd(), Path(folder).resolve())
        _import_once(lab)
        for name in options.only:
            start = time.monotonic()
            row = PROOFS[name](
                lab, max(1, round(options.trials * SHARE.get(name, 1.0))), options.seed
            )
            told = ", ".join(f"{count} {what}" for what, count in sorted(row.told.items()))
            seconds = time.monotonic() - start
            print(
                f"{row.name:26}{row.trials:7}{seconds:9.0f}  {told:54}{len(row.wrong):5}",
                flush=True,
            )
            wrong += [f"{row.name}: {one}" for one in row.wrong]
    print(*wrong[:50], sep="\n", end="\n" * bool(wrong))
    return int(bool(wrong))


def _import_once(lab: Lab) -> None:
    """Imports all that a training needs, and starts none of PyTorch's threads."""
    torch = import_module("torch")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    lab.module("training.fit")
    for name in ("models.mlp", "preprocess", "evaluate", "evaluation.model_card", "register"):
        lab.module(name)
    lab.module("tracking.mlflow")


if __name__ == "__main__":
    sys.exit(main())

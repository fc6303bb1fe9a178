"""Test that training resumes after any interruption to the same result, bit for bit.

Run it in a project that was set up (`make setup`) and has its data (`make preprocess`), with that
project's own Python:

    cd my-project && .venv/bin/python /path/to/reliability/resume.py --trials 200

A server process imports PyTorch once and forks a process for each training or other stage. Bytes
are compared: the weights in the bundle and the metrics, or all files that a stage writes. A trial
depends only on its number, except for the time of a signal. The last column must be 0.
"""

import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from proof_table import Row, package_of_project, parser_of, print_table
from resume_proofs import disks, interruptions, stages
from resume_proofs.lab import Lab

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
"""Trials of a proof per `--trials`; 1 if not listed."""


def main() -> int:
    """Print a row for each proof; return 1 when anything went wrong."""
    parser = parser_of(__doc__, PROOFS, trials=20, trials_help="kills; others have a share of that")
    options = parser.parse_args()
    package = package_of_project()
    with TemporaryDirectory(prefix="resume-") as folder:
        lab = Lab(package, Path.cwd(), Path(folder).resolve())
        _import_once(lab)
        rows = (
            PROOFS[name](lab, max(1, round(options.trials * SHARE.get(name, 1.0))), options.seed)
            for name in options.only
        )
        return print_table(rows, title="what happens", widths=(26, 54))


def _import_once(lab: Lab) -> None:
    """Import all that a training needs, without starting PyTorch's threads."""
    torch = import_module("torch")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    lab.module("training.fit")
    for name in ("models.mlp", "preprocess", "evaluate", "evaluation.model_card", "register"):
        lab.module(name)
    lab.module("tracking.mlflow")


if __name__ == "__main__":
    sys.exit(main())

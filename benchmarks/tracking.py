"""Prints what tracking costs a training step, and what a tracking server that fails does to a run.

Run it in a project with tracking=mlflow that was set up, with that project's own Python:

    cd my-project && .venv/bin/python /path/to/benchmarks/tracking.py cost [--rounds N]
    cd my-project && .venv/bin/python /path/to/benchmarks/tracking.py drills [--trials N] [--seed S]
"""

import argparse
import sys
from pathlib import Path

from tracking_proofs import cost, drills


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of_cost = commands.add_parser("cost", help="a step with tracking beside one without")
    of_cost.add_argument("--rounds", type=int, default=10)
    of_cost.add_argument("--seconds", type=float, default=10, help="length of each run")
    of_drills = commands.add_parser("drills", help="servers that are killed, frozen, slow or ill")
    of_drills.add_argument("--trials", type=int, default=4, help="of each fault")
    of_drills.add_argument("--seed", type=int, default=0, help="number of the first trial")
    of_drills.add_argument("--only", nargs="+", choices=drills.FAULTS, default=list(drills.FAULTS))
    arguments = parser.parse_args()
    [package] = [path.parents[1].name for path in Path("src").glob("*/tracking/mlflow")]
    sys.path[:0] = [str(Path("src").resolve()), str(Path.cwd())]
    if arguments.command == "cost":
        cost.run(package, rounds=arguments.rounds, seconds=arguments.seconds)
    else:
        numbers = range(arguments.seed, arguments.seed + arguments.trials)
        sys.exit(drills.run(package, numbers, faults=arguments.only))


if __name__ == "__main__":
    main()

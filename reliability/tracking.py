"""Test what a failing tracking server does to a run, and what is recorded in the end.

Run it in a project with tracking=mlflow that was set up, with that project's own Python:

    cd my-project && .venv/bin/python /path/to/reliability/tracking.py [--trials N] [--seed S]

The last column must be 0.
"""

import argparse
import sys
from pathlib import Path

from tracking_proofs import drills


def main() -> int:
    """Run the trials of each fault; return 1 when anything went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=4, help="of each fault")
    parser.add_argument("--seed", type=int, default=0, help="number of the first trial")
    parser.add_argument("--only", nargs="+", choices=drills.FAULTS, default=list(drills.FAULTS))
    arguments = parser.parse_args()
    [package] = [path.parents[1].name for path in Path("src").glob("*/tracking/mlflow")]
    sys.path[:0] = [str(Path("src").resolve()), str(Path.cwd())]
    numbers = range(arguments.seed, arguments.seed + arguments.trials)
    return drills.run(package, numbers, faults=arguments.only)


if __name__ == "__main__":
    sys.exit(main())

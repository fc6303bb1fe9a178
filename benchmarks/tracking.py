"""Compare a training step with and without tracking.

Run it in a project with tracking=mlflow that was set up, with that project's own Python:

    cd my-project && .venv/bin/python /path/to/benchmarks/tracking.py [--rounds N] [--seconds S]
"""

import argparse
import sys
from pathlib import Path

import tracking_cost


def main() -> None:
    """Run the benchmark of the project in the current folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10, help="length of each run")
    arguments = parser.parse_args()
    [package] = [path.parents[1].name for path in Path("src").glob("*/tracking/mlflow")]
    sys.path[:0] = [str(Path("src").resolve()), str(Path.cwd())]
    tracking_cost.run(package, rounds=arguments.rounds, seconds=arguments.seconds)


if __name__ == "__main__":
    main()

"""Prints how long the commands take: the median of interleaved runs, and the ratio to the first.

Interleaved, because a shared machine changes its speed by the minute; the ratio is what to compare.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

MLSCAFFOLD = (sys.executable, "-m", "mlscaffold")
COMMANDS = {
    "--help": (*MLSCAFFOLD, "--help"),
    "options": (*MLSCAFFOLD, "options"),
    "new --dry-run": (*MLSCAFFOLD, "new", "toy", "--defaults", "--dry-run"),
    "new --no-lock": (*MLSCAFFOLD, "new", "toy", "--defaults", "--no-lock"),
}


def main() -> None:
    """Runs every command once a round and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                seconds[name].append(wall_time_s(command, cwd=Path(folder)))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    first = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{name:16}{median:8.2f} s{median / first:8.2f}")


def wall_time_s(command: tuple[str, ...], *, cwd: Path) -> float:
    """How long the command took, in seconds; what it made is removed."""
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    taken = time.perf_counter() - start
    shutil.rmtree(cwd / "toy", ignore_errors=True)
    return taken


if __name__ == "__main__":
    main()

"""Print the time and the peak memory of `fetch`, `preprocess` and `predict` on many rows.

Run it in a project that was set up (`make setup`), with that project's own Python:

    cd my-project && .venv/bin/python /path/to/benchmarks/large_data.py --rows 1000000 10000000

The rows are made up: three words of 5,000, or eight numbers in a project for tables, with one of
four labels. Memory is what the kernel could not drop and read again (RssAnon); pages of files that
are mapped do not count. With --limit-mib a stage that asks for more private memory fails.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

ROWS_AT_ONCE = 100_000
STAGES = ("fetch", "preprocess")


class Peak(NamedTuple):
    """What a stage took."""

    seconds: float
    mib: float


def main() -> None:
    """Print a line for each number of rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--limit-mib", type=int, help="RLIMIT_DATA of a stage")
    parser.add_argument("--stages", nargs="+", default=STAGES, help="`predict` needs models/bundle")
    parser.add_argument("overrides", nargs="*", help="settings such as data.split=time")
    arguments = parser.parse_args()
    [package] = [path.parent.name for path in Path("src").glob("*/train.py")]
    is_table = Path("src", package, "data", "table.py").exists()
    titles = (f"{stage + ' s':>13}{'MiB':>7}" for stage in arguments.stages)
    print(f"{'rows':>12}{'CSV MB':>9}", *titles)
    for number in arguments.rows:
        with TemporaryDirectory(prefix="large-data-", dir=Path.cwd()) as name:
            folder = Path(name)
            (folder / "configs").symlink_to(Path("configs").resolve())
            write_csv(folder / "rows.csv", number, is_table=is_table)
            size = (folder / "rows.csv").stat().st_size / 1e6
            print(f"{number:12,}{size:9,.0f}", end="", flush=True)
            for stage in arguments.stages:
                settings = ["data.path=rows.csv", "tracking=none", *arguments.overrides]
                if stage == "predict":
                    files = ["input=rows.csv", "output=predicted.parquet"]
                    settings += [*files, f"serving.model={Path('models/bundle').resolve()}"]
                peak = peak_of(package, stage, settings, folder, arguments.limit_mib)
                print(f"{peak.seconds:14.0f}{peak.mib:7.0f}", end="", flush=True)
            print(flush=True)


def write_csv(path: Path, number: int, *, is_table: bool) -> None:
    """Write so many rows."""
    names = [f"x{i}" for i in range(8)] if is_table else ["text"]
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join([*names, "label"]) + "\n")
        for start in range(0, number, ROWS_AT_ONCE):
            file.writelines(lines(start, min(ROWS_AT_ONCE, number - start), is_table=is_table))


def lines(start: int, number: int, *, is_table: bool) -> Iterator[str]:
    """Yield the lines of some rows."""
    random = np.random.default_rng(start)
    labels = random.integers(0, 4, number)
    if is_table:
        numbers = random.normal(size=(number, 8)) + labels[:, None]
        return (
            ",".join([*(f"{one:.6g}" for one in row), f"label{label}\n"])
            for row, label in zip(numbers.tolist(), labels.tolist(), strict=True)
        )
    words = [f"{first}{second}" for first in "abcdefghijklmnopqrst" for second in _ENDS]
    chosen = random.integers(0, len(words), (number, 3))
    return (
        " ".join([words[one] for one in row]) + f",label{label}\n"
        for row, label in zip(chosen.tolist(), labels.tolist(), strict=True)
    )


_ENDS = [f"{a}{b}{c}" for a in "aeiou" for b in "lmnrstvxzk" for c in "aeiou"]


def peak_of(
    package: str, stage: str, settings: list[str], folder: Path, limit_mib: int | None
) -> Peak:
    """Run a stage in a folder; return its time and its peak memory. Exit if it fails."""
    project = Path.cwd()
    command = [sys.executable, "-m", f"{package}.{stage}"]
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1"}
    limit = partial(_limit, limit_mib) if limit_mib else None
    start, most = time.perf_counter(), 0
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [*command, *settings],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=limit,
        )
        while process.poll() is None:
            most = max(most, anonymous(process.pid))
            time.sleep(0.02)
    if process.returncode:
        sys.exit(f"\n{stage}: {(folder / 'output.txt').read_text('utf-8', 'replace')[-2000:]}")
    return Peak(time.perf_counter() - start, most / 2**20)


def _limit(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (mib * 2**20, mib * 2**20))


def anonymous(process: int) -> int:
    """Return the bytes of a process that the kernel cannot drop and read again; 0 if it ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text("utf-8")
    except OSError:
        return 0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return 1024 * int(sizes[0]) if sizes else 0


if __name__ == "__main__":
    main()

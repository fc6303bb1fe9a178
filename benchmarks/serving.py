"""Compare the requests per second of this project's server with those of the pattern document's.

Run it in a project that was set up and has a model (`make train`), with that project's own Python:

    cd my-project && .venv/bin/python /path/to/benchmarks/serving.py --rounds 5

Both servers are processes on loopback with the same bundle and one thread for PyTorch. wrk loads
one of them at a time, in turn, with requests to predict texts of 8 to 64 words. Compare the ratios:
each is the median, over rounds, of the ratio within a round.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pydoc_data.topics import topics
from tempfile import TemporaryDirectory
from typing import NamedTuple

RIVALS = Path(__file__).parent / "serving_rivals"
OURS, PATTERN = "this project", "the pattern's server"
READY_WITHIN_S = 120


class Figures(NamedTuple):
    """Measurements of wrk in one round."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def main() -> None:
    """Print a table for each number of connections."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of load on a server in a round")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64])
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("error: wrk is missing; install it: apt-get install wrk")
    if not Path("models/bundle").exists():
        sys.exit("error: models/bundle is missing; run `make train` in this project first")
    [package] = [path.parent.name for path in Path("src").glob("*/serve.py")]
    ours = ["-m", f"{package}.serve", "serving.port={port}"]
    pattern = [str(RIVALS / "pattern.py"), package, "{port}"]
    with TemporaryDirectory(prefix="serving-") as folder, ExitStack() as stack:
        bodies = write_bodies(Path(folder) / "bodies")
        servers = {
            OURS: stack.enter_context(server(*ours)),
            PATTERN: stack.enter_context(server(*pattern)),
        }
        for connections in options.connections:
            for url in servers.values():
                load(url, bodies, connections, seconds=1)  # warm-up
            rounds = [
                {name: load(url, bodies, connections, options.seconds) for name, url in pairs}
                for pairs in [list(servers.items())] * options.rounds
            ]
            print_table(connections, rounds)


def write_bodies(path: Path) -> Path:
    """Write 1,000 requests in words of Python's documentation; return the path."""
    words, choose = " ".join(topics.values()).split(), random.Random(0)
    texts = [" ".join(choose.choices(words, k=choose.randint(8, 64))) for _ in range(1000)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@contextmanager
def server(*arguments: str) -> Generator[str]:
    """Yield the URL of a server that has loaded its model; stop it afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, *(argument.format(port=port) for argument in arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": "src"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, process)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the server has loaded its model; exit if it ended or took too long."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
                if json.load(response)["model_loaded"]:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit(f"error: the server did not start: {process.args}")


def load(url: str, bodies: Path, connections: int, seconds: int) -> Figures:
    """Return what wrk measures while it requests predictions over that many connections."""
    sizes = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    command = ["wrk", *sizes, "-s", str(RIVALS / "load.lua"), f"{url}/predict", "--", str(bodies)]
    lines = subprocess.check_output(command, text=True, timeout=seconds + 60).splitlines()
    [figures] = [line.split()[1:] for line in lines if line.startswith("figures ")]
    requests_per_s, p50_ms, p99_ms, errors = map(float, figures)
    return Figures(requests_per_s, p50_ms, p99_ms, int(errors))


def print_table(connections: int, rounds: Sequence[dict[str, Figures]]) -> None:
    """Print medians, and the median ratio of our requests/s to each server's."""
    print(f"\n{connections} connection{'s' * (connections > 1)}\n")
    print("| server | requests/s | quartiles | p50 ms | p99 ms | errors | ours to it |")
    print("|---|---|---|---|---|---|---|")
    for name in rounds[0]:
        per_s, p50_ms, p99_ms, errors = zip(*(one[name] for one in rounds), strict=True)
        ratios = (one[OURS].requests_per_s / one[name].requests_per_s for one in rounds)
        print(
            f"| {name} | {statistics.median(per_s):.0f} | {quartiles(per_s)}"
            f" | {statistics.median(p50_ms):.1f} | {statistics.median(p99_ms):.1f}"
            f" | {sum(errors)} | {statistics.median(ratios):.2f} |",
            flush=True,
        )


def quartiles(values: Sequence[float]) -> str:
    """Return the interquartile range; empty if there are too few values."""
    if len(values) < 3:
        return ""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{low:.0f}-{high:.0f}"


if __name__ == "__main__":
    main()

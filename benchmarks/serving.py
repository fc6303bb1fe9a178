"""Compare this project's server with others that serve the same bundle.

Run it in a project that was set up and has a model (`make train`), with that project's own Python,
into which the rivals were installed:

    cd my-project && uv pip install "litserve>=0.2.19,<0.3" "bentoml>=1.4.39,<1.5" mlflow pandas
    .venv/bin/python /path/to/benchmarks/serving.py

Modes, of which the first two run if none is named:

    load       requests/s, latency and CPU time over 64 connections and over one, by wrk; seconds
               from the start of the process to its first prediction
    overload   twice as many requests as the server can answer, for 60 s, in an open loop
    answers    whether the server answers each test row as PyTorch does
    hostile    malformed HTTP and 5,000 cases of schemathesis (`uv pip install schemathesis`), for
               which the server must show its OpenAPI document (--settings serving.docs=true)

Each server is a process on loopback with one thread for PyTorch. In each round every server is
started, loaded and stopped, in turn, so that no other one takes time meanwhile. Requests to predict
are texts of 8 to 64 words, or the test rows of images and tables. Compare the ratios: each is the
median, over rounds, of the ratio within a round.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from serving_load.answers import agreement
from serving_load.closed_loop import Figures, load
from serving_load.hostile import malformed, schemathesis
from serving_load.open_loop import open_loop
from serving_load.processes import Server, free_port, started
from serving_load.requests import of_test_rows, sample, to_json
from serving_rivals import OURS, Rival, environment, rivals

CONNECTIONS = (64, 1)
WARM_UP_S = 2
PACKAGES = ("torch", "fastapi", "uvicorn", "litserve", "bentoml", "mlflow")


@dataclass(frozen=True)
class Bench:
    """What all modes need."""

    package: str
    requests: Sequence[Mapping[str, Any]]
    folder: Path
    options: argparse.Namespace

    @contextmanager
    def server(self, rival: Rival) -> Generator[tuple[Server, list[str]]]:
        """Start a server; yield it, and the bodies of its requests."""
        bodies = [to_json(rival.body(request)) for request in self.requests]
        port, [field, *_] = free_port(), self.requests[0]
        with TemporaryDirectory(dir=self.folder) as folder:
            rival.prepare(folder)
            command = [part.format(port=port, folder=folder, field=field) for part in rival.command]
            url = f"http://127.0.0.1:{port}{rival.path}"
            with started(command, url, body=bodies[0], environment=environment()) as server:
                yield server, bodies

    def load(self, server: Server, bodies: Sequence[str], connections: int) -> Figures:
        """Return the figures of wrk, after a warm-up."""
        path = self.folder / "bodies"
        path.write_text("".join(f"{body}\n" for body in bodies))
        load(server, path, connections=connections, seconds=WARM_UP_S)
        return load(server, path, connections=connections, seconds=self.options.seconds)


def main() -> None:
    """Print the tables of the chosen modes."""
    options = parse()
    if not shutil.which("wrk"):
        sys.exit("error: wrk is missing; install it: apt-get install wrk")
    if not Path("models/bundle").exists():
        sys.exit("error: models/bundle is missing; run `make train` in this project first")
    [package] = [path.parent.name for path in Path("src").glob("*/serve.py")]
    sys.path.insert(0, str(Path("src").resolve()))
    servers = rivals(package, options.settings)
    chosen = {name: rival for name, rival in servers.items() if name not in options.without}
    print(", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES))
    bundle = import_module("serving_rivals.model").load_bundle()
    with TemporaryDirectory(prefix="serving-") as folder:
        requests = sample(package, bundle.spec.encoder)
        bench = Bench(package, requests, Path(folder), options)
        for mode in options.modes:
            MODES[mode](bench, chosen)


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modes", nargs="*", metavar="mode", default=["load", "overload"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of load on a server in a round")
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--cases", type=int, default=5000, help="of schemathesis")
    parser.add_argument("--without", nargs="+", default=[], help="servers, by name")
    parser.add_argument("--settings", nargs="+", default=[], help="of this project's server")
    options = parser.parse_args()
    if unknown := set(options.modes) - MODES.keys():
        parser.error(f"unknown mode {min(unknown)}; expected {', '.join(MODES)}")
    return options


def load_servers(bench: Bench, servers: Mapping[str, Rival]) -> None:
    """Print how fast the servers start, and a table for each number of connections."""
    starts: list[dict[str, float]] = []
    rounds: dict[int, list[dict[str, Figures]]] = {number: [] for number in CONNECTIONS}
    for _ in range(bench.options.rounds):
        starts.append({})
        for figures in rounds.values():
            figures.append({})
        for name, rival in servers.items():
            with bench.server(rival) as (server, bodies):
                starts[-1][name] = server.first_answer_s
                for connections, figures in rounds.items():
                    figures[-1][name] = bench.load(server, bodies, connections)
    print("\n| server | seconds to the first prediction |\n|---|---|")
    for name in servers:
        print(f"| {name} | {median(one[name] for one in starts):.1f} |")
    for connections, figures in rounds.items():
        print(f"\n{connections} connection{'s' * (connections > 1)}\n")
        print_figures(figures)


def print_figures(rounds: Sequence[Mapping[str, Figures]]) -> None:
    """Print the medians of each server, and the median ratios of ours to it."""
    columns = "requests/s | quartiles | p50 ms | p99 ms | errors | CPU µs | RSS MiB"
    print(f"| server | {columns} | ours to it: requests/s | p99 | CPU |\n{'|---' * 11}|")
    for name in rounds[0]:
        per_s, p50_ms, p99_ms, errors, cpu_us, rss_mib = zip(
            *(one[name] for one in rounds), strict=True
        )
        ratios = (
            median(getattr(one[OURS], field) / getattr(one[name], field) for one in rounds)
            for field in ("requests_per_s", "p99_ms", "cpu_us")
        )
        print(
            f"| {name} | {median(per_s):.0f} | {quartiles(per_s)} | {median(p50_ms):.1f}"
            f" | {median(p99_ms):.1f} | {sum(errors)} | {median(cpu_us):.0f}"
            f" | {median(rss_mib):.0f} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |"
        )


def quartiles(values: Sequence[float]) -> str:
    """Return the interquartile range; empty if there are too few values."""
    if len(values) < 3:
        return ""
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{low:.0f}-{high:.0f}"


def overload(bench: Bench, servers: Mapping[str, Rival]) -> None:
    """Print what becomes of twice as many requests as this project's server can answer."""
    seconds = bench.options.overload_seconds
    with bench.server(servers[OURS]) as (server, bodies):
        before = bench.load(server, bodies, max(CONNECTIONS)).requests_per_s
        # With asyncio's own loop, the generator leaves less of two cores to the server.
        run = import_module("uvloop").run
        outcome = run(open_loop(server, bodies, rate=2 * before, seconds=seconds))
        after = bench.load(server, bodies, max(CONNECTIONS)).requests_per_s
    goodput, peak = outcome.num_good / seconds, (before + after) / 2
    cut = quantiles(outcome.latencies_s, n=100, method="inclusive")
    rss = (f"{outcome.rss_mib[place]:.0f}" for place in (0, len(outcome.rss_mib) // 2, -1))
    rows = {
        "capacity before and after, requests/s": f"{before:.0f}, {after:.0f}",
        "due, requests/s": f"{outcome.num_due / seconds:.0f}",
        "answered with 200 meanwhile, requests/s": f"{goodput:.0f}",
        "of the mean capacity": f"{goodput / peak:.2f}",
        "p50 and p99 of all answered with 200, ms": f"{cut[49] * 1000:.0f}, {cut[98] * 1000:.0f}",
        "answers by status": f"{dict(sorted(outcome.statuses.items()))}",
        "RSS at the start, in the middle, at the end, MiB": ", ".join(rss),
    }
    print(f"\n{OURS}, twice the capacity for {seconds:g} s\n\n| | |\n|---|---|")
    for row in rows.items():
        print(f"| {' | '.join(row)} |")


def answers(bench: Bench, servers: Mapping[str, Rival]) -> None:
    """Print how this project's answers for all test rows differ from those of PyTorch."""
    model = import_module("serving_rivals.model").Model()
    with bench.server(servers[OURS]) as (server, _):
        found = agreement(server.url, of_test_rows(bench.package, model.encoder), model)
    print(f"\n{found.num_rows} test rows: {found.num_others} have another answer than PyTorch")
    print(f"gives; the largest difference of a number is {found.largest:.1e}")


def hostile(bench: Bench, servers: Mapping[str, Rival]) -> None:
    """Print how this project's server answers what no client should send."""
    with bench.server(servers[OURS]) as (server, _):
        url = server.url.removesuffix(servers[OURS].path)
        print(f"\nMalformed HTTP: {dict(malformed(url))}", flush=True)
        schemathesis(url, bench.options.cases)


MODES: dict[str, Callable[[Bench, Mapping[str, Rival]], None]] = {
    "load": load_servers,
    "overload": overload,
    "answers": answers,
    "hostile": hostile,
}


if __name__ == "__main__":
    main()

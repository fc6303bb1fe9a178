"""A closed loop: wrk, whose connections each wait for an answer before the next request."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from serving_load.processes import Server

SCRIPT = Path(__file__).parent / "load.lua"


class Figures(NamedTuple):
    """What wrk measures, and what the server's processes took meanwhile."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: float
    """CPU time of a request."""
    rss_mib: float


def load(server: Server, bodies: Path, *, connections: int, seconds: float) -> Figures:
    """Return the figures of requests over that many connections."""
    sizes = ["-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s"]
    command = ["wrk", *sizes, "-s", str(SCRIPT), server.url, "--", str(bodies)]
    cpu_s = server.cpu_s()
    lines = subprocess.check_output(command, text=True, timeout=seconds + 60).splitlines()
    cpu_s = server.cpu_s() - cpu_s
    [figures] = [line.split()[1:] for line in lines if line.startswith("figures ")]
    requests_per_s, p50_ms, p99_ms, errors, answers = map(float, figures)
    cpu_us = cpu_s / max(answers, 1) * 1e6
    return Figures(requests_per_s, p50_ms, p99_ms, int(errors), cpu_us, server.rss_mib())

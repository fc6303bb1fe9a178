"""What a benchmark says where it cannot run."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "serving.py"


def test_the_benchmark_of_servers_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: wrk is missing; install it: apt-get install wrk\n"

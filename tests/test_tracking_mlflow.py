"""A project that tracks with MLflow, and what its server does to it."""

import re
from pathlib import Path

import pytest
from conftest import Run

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_no_point_is_lost_or_doubled(project: Path, run_in: Run) -> None:
    drills = ("python", str(ROOT / "reliability" / "tracking.py"), "--trials", "1", "--only")
    table = run_in(project, *drills, "killed", "cut", "unacknowledged").stdout.splitlines()[1:]
    rows = [re.split(r"  +", row) for row in table]
    assert [row[0] for row in rows] == [
        "SIGKILL",
        "does it, its answer is lost",
        "killed after an unanswered send",
    ]
    for _, trials, held_up_s, end_s, _, _, *wrong in rows:
        assert (trials, wrong) == ("1", ["0", "0", "0"])
        assert float(held_up_s) < 1
        assert float(end_s) < 10


@pytest.mark.nightly
def test_the_cost_of_a_step_is_printed(project: Path, run_in: Run) -> None:
    cost = ("python", str(ROOT / "benchmarks" / "tracking.py"), "--rounds", "1", "--seconds", "3")
    rows = run_in(project, *cost).stdout.splitlines()[1:]
    parts = [float(part) for row in rows for part in re.findall(r"([\d.]+)%", row)]
    assert [row[:8] for row in rows] == ["tiny MLP", "25 ms   "]
    assert len(parts) == 4 and all(0 < part < 100 for part in parts[::2])

"""A tampered bundle is refused in one line, or is known for another one."""

from pathlib import Path

import pytest
from conftest import Run
from templates import ROOT


@pytest.mark.slow
def test_the_proofs_hold_in_small(project: Path, run_in: Run) -> None:
    script = str(ROOT / "reliability" / "bundles.py")
    printed = run_in(project, "python", script, "--trials", "60").stdout.splitlines()
    assert [line.rsplit(None, 1)[-1] for line in printed] == ["wrong", *"0" * 5], printed

"""Ctrl-C, from the first moment: while modules are still imported."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("mlscaffold")
MODULE = (sys.executable, "-m", "mlscaffold")


@pytest.mark.parametrize("command", [(str(PROGRAM),), MODULE])
@pytest.mark.parametrize("slow", ["typer", "yaml"])
def test_an_interrupt_during_imports_is_one_line(
    slow: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    arguments = ("--help",) if slow == "typer" else ("new", "toy", "--defaults")
    module = tmp_path / "modules" / f"{slow}.py"
    module.parent.mkdir()
    module.write_text(
        "import pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'importing')!r}).touch()\n"
        # In short steps: a signal that arrives just before a sleep is handled after it.
        "for _ in range(6000):\n"
        "    time.sleep(0.01)\n"
    )
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(module.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "importing").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted: nothing was changed\n")
    assert not (tmp_path / "toy").exists()

"""Two stages in one folder: the second refuses in one line, whatever became of others before."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_project import evaluate, fetch, preprocess, register, train
from toy_project.running import LOCK, running

HOLD = """
import os, time
from toy_project.running import running
with running("train"):
    {}
    time.sleep(60)
"""
STAGES = {"fetch": fetch, "preprocess": preprocess, "evaluate": evaluate, "register": register}


def hold(what: str = "print('held', flush=True)") -> subprocess.Popen:
    """Another process that is the only one in this folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD.format(what)], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    return process


def refusal(main: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", ["stage", "tracking=none", "resume=never"])
    with pytest.raises(SystemExit) as ended:
        main()
    return str(ended.value)


@pytest.mark.parametrize("stage", [*STAGES, "train"])
def test_a_second_stage_names_the_first(
    stage: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hold()
    try:
        said = refusal((STAGES | {"train": train})[stage].main, monkeypatch)
        who = rf"train, pid {first.pid} on \S+, since [-\d]+ [:+\d]+"
        what = rf"error: this folder is in use: {who}; wait until it ends, or use a copy of it"
        assert re.fullmatch(what, said), said
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()


def test_a_process_that_was_killed_holds_nothing(workspace: Path) -> None:
    first = hold()
    first.kill()
    first.wait()
    assert LOCK.read_text().startswith("train, pid ")
    with running("evaluate"):
        assert LOCK.read_text().startswith("evaluate, pid ")
    assert LOCK.read_text() == ""


def test_children_do_not_take_the_lock_along(workspace: Path) -> None:
    fork = "os.fork() or os._exit(0); os.wait(); print('held', flush=True)"
    first = hold(fork)
    try:
        second = [sys.executable, "-c", HOLD.format("pass")]
        done = subprocess.run(second, capture_output=True, text=True, check=False)
        assert f"RunningError: this folder is in use: train, pid {first.pid} on" in done.stderr
    finally:
        first.kill()
        first.wait()


def test_another_folder_has_its_own_lock(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running("train"):
        (workspace / "copy").mkdir()
        monkeypatch.chdir(workspace / "copy")
        hold().kill()

"""A kill, or a full disk, at every change that a training makes to the disk."""

import errno
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .lab import KILLED, Lab, Row, Whole, finish, result, undisturbed

SHORT = ("training.max_steps=12", "training.evaluate_every_n_steps=4")
"""A training that changes the disk not too often for trying each time."""

Strike = Callable[[int, int, str], None]
"""Called with the number of the change that matters, that of this one, and its audit event."""


def changes(lab: Lab, trials: int, seed: int, *, name: str, strike: Strike) -> Row:
    """Something befalls a training before its n-th change to the disk, for every n."""
    whole = undisturbed(lab, f"whole-{name}", *SHORT)
    counted = lab.folder / f"{name}.count"
    descriptor = os.open(counted, os.O_CREAT | os.O_WRONLY)

    def count(number: int, event: str) -> None:
        os.pwrite(descriptor, str(number).encode(), 0)

    counting = partial(_before_changes, count)
    assert lab.run(lab.workspace(f"counted-{name}"), whole.config, counting) == 0
    os.close(descriptor)
    numbers = list(range(1, int(counted.read_text()) + 1))
    if len(numbers) > trials:
        numbers = sorted(random.Random(seed).sample(numbers, trials))
    row = Row(name, len(numbers), Counter(), [])
    for number in numbers:
        folder = lab.workspace(f"{name}-{number}")
        struck = partial(_before_changes, partial(strike, number))
        code = lab.run(folder, whole.config, struck)
        _check_struck(lab, row, folder, whole, code, number)
    return row


def full_disk(lab: Lab, trials: int, seed: int) -> Row:
    """Trainings on a disk of their own that is too small by some bytes: it is really full.

    Needs the right to mount one; without it there are no trials.
    """
    whole = undisturbed(lab, "whole-disk", *SHORT)
    made = (lab.folder / "whole-disk").rglob("*.*")
    needed = sum(file.stat().st_size for file in made if "data" not in file.parts)
    row, disk = Row("a disk too small", 0, Counter(), []), lab.folder / "disk"
    disk.mkdir()
    for trial in range(trials):
        size = 8192 + (2 * needed * trial + seed) // trials
        if not _mount(disk, f"size={size}"):
            break
        row.trials += 1
        try:
            folder = lab.workspace(f"disk/{trial}")
            code = lab.run(folder, whole.config)
            _mount(disk, "remount,size=1g")
            _check_struck(lab, row, folder, whole, code, trial)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return row


def _mount(disk: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    return not subprocess.run(command, capture_output=True).returncode


def _check_struck(lab: Lab, row: Row, folder: Path, whole: Whole, code: int, number: int) -> None:
    """It was killed, or said in a line that the disk is full, or went on; and it can go on."""
    error = lab.error(folder)
    endings = {KILLED: "killed", 0: "went on", 1: "one line"}
    row.told[endings.get(code, f"code {code}")] += 1
    if code not in endings or (code == 1 and "No space left" not in error):
        row.wrong.append(f"trial {number}: exit code {code}: {error}")
    if code == 0 and result(folder) == whole.result:
        shutil.rmtree(folder)
    else:
        finish(lab, row, folder, whole, number)


def kill(chosen: int, number: int, event: str) -> None:
    """SIGKILL before that change."""
    if number == chosen:
        os.kill(os.getpid(), signal.SIGKILL)


def fail(chosen: int, number: int, event: str) -> None:
    """The disk is full at that change, and has room again after it."""
    if number == chosen:
        _require_space(event)


def fail_from(chosen: int, number: int, event: str) -> None:
    """The disk is full from that change on."""
    if number >= chosen:
        _require_space(event)


def _require_space(event: str) -> None:
    if event != "os.remove":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _before_changes(strike: Callable[[int, str], None]) -> None:
    """Calls `strike` before each change that this process makes to the disk."""
    numbers = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in ("os.link", "os.mkdir", "os.remove", "os.rename")
        if event == "open" and isinstance(arguments[1], str):
            is_ours = str(arguments[0]).endswith((".error", ".output"))
            is_change = not is_ours and bool(set("wxa") & set(arguments[1]))
        if is_change:
            strike(next(numbers), event)

    sys.addaudithook(hook)

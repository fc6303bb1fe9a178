"""A kill, or a full disk, at every change that a training makes to the disk."""

import errno
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from proof_table import Row

from .lab import KILLED, Lab, Whole, check_end, finish, result, undisturbed

SHORT = ("training.max_steps=12", "training.evaluate_every_n_steps=4")
"""Settings of a training with few enough disk changes to test each of them."""
BEST_LOST = "were not kept"
"""Part of the message if the bundle does not have the best weights."""

NEED_SPACE = ("open", "os.link", "os.mkdir", "os.rename")
"""Audit events of changes that a full disk refuses."""
CHANGES = (*NEED_SPACE, "os.remove")

Strike = Callable[[int, int], None]
"""Called with the number of the chosen change, and with that of the current one."""


def changes(
    lab: Lab, trials: int, seed: int, *, name: str, strike: Strike, events: Sequence[str]
) -> Row:
    """Inject a fault into a training before its n-th change to the disk, for every n."""
    whole = undisturbed(lab, f"whole-{name}", *SHORT)
    counted = lab.folder / f"{name}.count"
    descriptor = os.open(counted, os.O_CREAT | os.O_WRONLY)

    def count(number: int) -> None:
        os.pwrite(descriptor, str(number).encode(), 0)

    counting = partial(before_changes, count, events)
    assert lab.run(lab.workspace(f"counted-{name}"), whole.config, counting) == 0
    os.close(descriptor)
    numbers = list(range(1, int(counted.read_text()) + 1))
    if len(numbers) > trials:
        numbers = sorted(random.Random(seed).sample(numbers, trials))
    row = Row(name, len(numbers))
    for number in numbers:
        folder = lab.workspace(f"{name}-{number}")
        struck = partial(before_changes, partial(strike, number), events)
        code = lab.run(folder, whole.config, struck)
        _check_struck(lab, row, folder, whole, code, number)
    return row


def full_disk(lab: Lab, trials: int, seed: int) -> Row:
    """Run trainings on mounted disks, from 8 KiB to five times what they need.

    Needs the right to mount one; without it there are no trials.
    """
    whole = undisturbed(lab, "whole-disk", *SHORT)
    made = (lab.folder / "whole-disk").rglob("*.*")
    needed = sum(file.stat().st_size for file in made if "data" not in file.parts)
    row, disk = Row("a disk too small", 0), lab.folder / "disk"
    disk.mkdir()
    for trial in range(trials):
        size = 8192 + (5 * needed * trial + seed) // trials
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
    """Check that it was killed or failed in one line, and resumes; or that it never stopped.

    If it could not keep the best weights, it must have said so and taken the last ones.
    """
    error = lab.error(folder)
    if code == 0 and BEST_LOST in lab.output(folder) and result(folder) != whole.result:
        row.outcomes["last weights"] += 1
        shutil.rmtree(folder)
    elif code == 0:
        row.outcomes["continued"] += 1
        check_end(lab, row, folder, whole, number, code)
    else:
        row.outcomes["killed" if code == KILLED else "one line"] += 1
        if code != KILLED and (code != 1 or "No space left" not in error):
            row.wrong.append(f"trial {number}: exit code {code}: {error}")
        finish(lab, row, folder, whole, number)


def kill(chosen: int, number: int) -> None:
    """Send SIGKILL before the chosen change."""
    if number == chosen:
        os.kill(os.getpid(), signal.SIGKILL)


def fail(chosen: int, number: int) -> None:
    """Fail the chosen change with ENOSPC, and none after it."""
    if number == chosen:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail_from(chosen: int, number: int) -> None:
    """Fail the chosen change and all after it with ENOSPC."""
    if number >= chosen:
        fail(number, number)


def before_changes(strike: Callable[[int], None], events: Sequence[str]) -> None:
    """Call `strike` before each of these changes that this process makes to the disk."""
    numbers = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in events:
            return
        if event == "open":
            path, mode = arguments[:2]
            is_change = isinstance(mode, str) and bool(set("wxa") & set(mode))
            is_change = is_change and not str(path).endswith((".error", ".output"))
        else:
            is_change = event != "os.mkdir" or not Path(arguments[0]).is_dir()
        if is_change:
            strike(next(numbers))

    sys.addaudithook(hook)

"""Signals at random times, damaged checkpoints, and NaN gradients."""

import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

from proof_table import Row

from .lab import ENDED, INTERRUPTED, KILLED, Lab, check_end, ended, finish, newest, undisturbed

BUDGET = 4
"""Interruptions of one training, at most."""


def signals(lab: Lab, trials: int, seed: int, number: int) -> Row:
    """Send trainings a signal at random times, and restart them each time."""
    wholes = [
        undisturbed(lab, f"whole-{number}-{n}", f"training.num_data_workers={n}") for n in (0, 2)
    ]
    row = Row(signal.Signals(number).name, trials)
    for trial in range(seed, seed + trials):
        draw, whole = random.Random(trial), wholes[trial % 2]
        folder = lab.workspace(f"{number}-{trial}")
        for _ in range(draw.randint(1, BUDGET)):
            before = newest(folder)
            process = lab.start(folder, whole.config)
            time.sleep(draw.random() * whole.duration_s)
            os.kill(process, number)
            code = ended(process)
            row.outcomes[_ending(code, folder)] += 1
            reached = newest(folder)
            # Before the loop and after it SIGTERM ends a process as it does any other.
            in_the_loop = before < reached < f"step-{whole.num_steps:010d}.pt"
            if code not in (0, KILLED, ENDED, INTERRUPTED) or (code == ENDED and in_the_loop):
                row.wrong.append(f"trial {trial}, {reached}: exit {code}: {lab.error(folder)}")
            if code == 0:  # another start would train from the beginning
                check_end(lab, row, folder, whole, trial, code)
                break
        else:
            finish(lab, row, folder, whole, trial)
    return row


def _ending(code: int, folder: Path) -> str:
    if code == 0:
        return "over before"
    if code == INTERRUPTED:
        return "143"
    return "kept" if newest(folder) else "before a step"


def damage(lab: Lab, trials: int, seed: int) -> Row:
    """Bits flipped in a checkpoint, and checkpoints cut short: none may load."""
    checkpoint = lab.module("training.checkpoint")
    folder = lab.workspace("damage")
    assert lab.run(folder, lab.config()) == 0
    whole = (folder / "models/checkpoints/best.pt").read_bytes()
    row, path = Row("flipped bits, cut files", trials), folder / "damaged.pt"
    for trial in range(seed, seed + trials):
        draw, content = random.Random(trial), bytearray(whole)
        if trial % 4:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        else:
            del content[draw.randrange(len(content)) :]
        path.write_bytes(content)
        try:
            checkpoint.Checkpoint.load(path)
            row.wrong.append(f"trial {trial}: loaded")
        except checkpoint.CheckpointError:
            row.outcomes["refused"] += 1
    return row


def poison(lab: Lab, trials: int, seed: int) -> Row:
    """Make gradients NaN at a random step: the run must stop, and be resumable."""
    whole = undisturbed(lab, "whole-poison")
    row = Row("NaN in the gradients", trials)
    for trial in range(seed, seed + trials):
        folder = lab.workspace(f"poison-{trial}")
        step = random.Random(trial).randint(1, whole.num_steps)
        code = lab.run(folder, whole.config, partial(_poison, lab, step))
        is_reported = "had gradients that are not finite" in lab.error(folder)
        row.outcomes["stopped" if code == 1 and is_reported else "not reported"] += 1
        if code != 1 or not is_reported:
            row.wrong.append(f"trial {trial}: exit code {code}: {lab.error(folder)}")
        finish(lab, row, folder, whole, trial)
    return row


def pairs(lab: Lab, trials: int, seed: int) -> Row:
    """Start two trainings with other settings in one folder, at once or one a little later.

    In every other trial, an earlier training was killed, and could not record its end.
    """
    wholes = [undisturbed(lab, f"whole-pair-{n}", f"seed={n}", "resume=never") for n in (0, 1)]
    row = Row("two at once", trials)
    for trial in range(seed, seed + trials):
        draw, folder = random.Random(trial), lab.workspace(f"pair-{trial}")
        if trial % 2:
            process = lab.start(folder, wholes[0].config)
            time.sleep(draw.random() * wholes[0].duration_s)
            os.kill(process, signal.SIGKILL)
            ended(process)
        names = [f"pair-{trial}-{n}" for n in (0, 1)]
        processes = []
        for name, whole in zip(names, wholes, strict=True):
            processes.append(lab.fork(folder, partial(lab.fit, whole.config), name=name))
            time.sleep(draw.choice((0, 0.3 * draw.random() * whole.duration_s)))
        codes = [ended(process) for process in processes]
        refused = [lab.error(folder, name) for name in names]
        winner = codes.index(0) if 0 in codes else 0
        is_reported = refused[1 - winner].startswith("error: this folder is in use: train, pid ")
        if codes == [0, 0]:  # on a busy machine the second may begin when the first has ended
            row.outcomes["one after the other"] += 1
            winner = 1
        elif sorted(codes) == [0, 1] and is_reported and "\n" not in refused[1 - winner]:
            row.outcomes["one refused"] += 1
        else:
            row.wrong.append(f"trial {trial}: exit codes {codes}: {refused}")
        check_end(lab, row, folder, wholes[winner], trial, codes[winner])
    return row


def _poison(lab: Lab, step: int) -> None:
    """Make the gradients of a step NaN, in this process."""
    trainer = lab.module("training.trainer").Trainer
    take_step, taken = trainer.train_step, iter(range(1, 1_000_000))

    def poisoned(self: Any, batch: Any) -> None:
        if next(taken) == step:
            batch = [part._replace(weight=float("nan")) for part in batch]
        take_step(self, batch)

    trainer.train_step = poisoned

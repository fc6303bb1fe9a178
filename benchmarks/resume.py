"""Proves that a training goes on after any interruption as if nothing had happened.

Run it in a project that was set up (`make setup`) and has its data (`make preprocess`), with that
project's own Python:

    cd my-project && .venv/bin/python /path/to/benchmarks/resume.py --trials 200

A server process imports PyTorch once and forks a process for each training. What is compared are
bytes: the weights in the bundle, and the curve of losses and validation figures. Every trial has a
number, and all that it does but the instant of a signal depends on it. The last column must be 0.
"""

import argparse
import errno
import logging
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SETTINGS = (
    "tracking=none",
    "model=mlp",
    "model.hidden_size=16",
    "model.num_bigram_buckets=256",
    "training.epochs=2",
    "training.accumulation_steps=2",
    "training.ema_decay=0.95",
    "training.evaluate_every_n_steps=20",
    "training.checkpoint_every_n_steps=1",
    "training.deterministic=true",
    "launcher.num_threads=1",
)
KILLED, ENDED, INTERRUPTED = -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM
BUDGET = 4
"""Interruptions of one training, at most."""


@dataclass(frozen=True)
class Lab:
    """A project, and where its trainings are hurt."""

    package: str
    project: Path
    folder: Path

    def module(self, name: str) -> Any:
        """A module of the project's package."""
        return import_module(f"{self.package}.{name}")

    def config(self, *overrides: str) -> Any:
        """The configuration of every training, with something else in it."""
        hydra = import_module("hydra")
        with hydra.initialize_config_dir(str(self.project / "configs"), version_base="1.3"):
            composed = hydra.compose("config", overrides=[*SETTINGS, *overrides])
        return self.module("compose").to_config(composed, self.module("config").Config)

    def workspace(self, name: str) -> Path:
        """An empty folder with the project's data, in which a training can run."""
        folder = self.folder / name
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "processed").symlink_to(self.project / "data" / "processed")
        return folder

    def start(self, folder: Path, config: Any, hurt: Callable[[], None] = lambda: None) -> int:
        """The id of a process that trains in the folder, once it has been hurt."""
        child = os.fork()
        if child:
            return child
        code = 70
        try:
            os.chdir(folder)
            with Path("output.txt").open("a") as file, redirect_stdout(file), redirect_stderr(file):
                code = self._train(config, hurt)
        finally:
            os._exit(code)

    def _train(self, config: Any, hurt: Callable[[], None]) -> int:
        """The exit code of a training in this process and folder; error.txt says why."""
        logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
        try:
            hurt()
            with self.module("compose").one_line_errors():
                self.module("training.fit").fit(config)
        except SystemExit as ended:
            Path("error.txt").write_text(str(ended.code))
            return ended.code if isinstance(ended.code, int) else 1
        except BaseException as error:
            Path("error.txt").write_text(repr(error))
            return 70
        return 0

    def run(self, folder: Path, config: Any, hurt: Callable[[], None] = lambda: None) -> int:
        """The exit code of a training."""
        return ended(self.start(folder, config, hurt))


def ended(process: int) -> int:
    """The exit code of a process, which has ended then."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def result(folder: Path) -> tuple[bytes, bytes]:
    """The weights and the curve."""
    names = ("models/bundle/model.safetensors", "reports/history.csv")
    weights, curve = ((folder / name).read_bytes() for name in names)
    return weights, curve


@dataclass(frozen=True)
class Whole:
    """A training that nothing disturbed."""

    config: Any
    result: tuple[bytes, bytes]
    duration_s: float

    @property
    def num_steps(self) -> int:
        """The step of the last evaluation."""
        return int(self.result[1].splitlines()[-1].split(b",")[1])


def undisturbed(lab: Lab, name: str, *overrides: str) -> Whole:
    """Trains once."""
    config, folder = lab.config(*overrides), lab.workspace(name)
    start = time.monotonic()
    assert lab.run(folder, config) == 0, (folder / "error.txt").read_text()
    return Whole(config, result(folder), time.monotonic() - start)


@dataclass
class Row:
    """What a proof came to."""

    name: str
    trials: int
    told: Counter
    wrong: list[str]


def signals(lab: Lab, trials: int, seed: int, number: int) -> Row:
    """Trainings that get a signal at random instants, and are started again each time."""
    wholes = [
        undisturbed(lab, f"whole-{number}-{n}", f"training.num_data_workers={n}") for n in (0, 2)
    ]
    row = Row(signal.Signals(number).name, trials, Counter(), [])
    for trial in range(seed, seed + trials):
        draw, whole = random.Random(trial), wholes[trial % 2]
        folder = lab.workspace(f"{number}-{trial}")
        for _ in range(draw.randint(1, BUDGET)):
            newest = _newest(folder)
            process = lab.start(folder, whole.config)
            time.sleep(draw.random() * whole.duration_s)
            os.kill(process, number)
            code = ended(process)
            row.told[_ending(code, folder)] += 1
            in_the_loop = _newest(folder) > newest and not (folder / "models/bundle").exists()
            if code not in (0, KILLED, ENDED, INTERRUPTED) or (code == ENDED and in_the_loop):
                row.wrong.append(f"trial {trial}: exit code {code}: {_error(folder)}")
        _finish(lab, row, folder, whole, trial)
    return row


def _ending(code: int, folder: Path) -> str:
    if code == 0:
        return "over before"
    if code == INTERRUPTED:
        return "143"
    return "kept" if _newest(folder) else "before a step"


def _newest(folder: Path) -> str:
    """The name of the newest checkpoint of a step."""
    return max(
        (path.name for path in (folder / "models/checkpoints").glob("step-*.pt")), default=""
    )


def _finish(lab: Lab, row: Row, folder: Path, whole: Whole, trial: int) -> None:
    """Trains to the end, compares, and tidies up."""
    code = lab.run(folder, whole.config)
    if code:
        row.wrong.append(f"trial {trial}: exit code {code}: {_error(folder)}")
    elif result(folder) != whole.result:
        row.wrong.append(f"trial {trial}: other bytes")
    if left := [
        path.name for path in (folder / "models/checkpoints").glob("*") if path.name != "best.pt"
    ]:
        row.wrong.append(f"trial {trial}: left behind {left}")
    shutil.rmtree(folder)


def _error(folder: Path) -> str:
    path = folder / "error.txt"
    return path.read_text() if path.exists() else ""


def damage(lab: Lab, trials: int, seed: int) -> Row:
    """Bits flipped in a checkpoint, and checkpoints cut short: none may load."""
    checkpoint = lab.module("training.checkpoint")
    folder = lab.workspace("damage")
    assert lab.run(folder, lab.config()) == 0
    whole = (folder / "models/checkpoints/best.pt").read_bytes()
    row, path = Row("flipped bits, cut files", trials, Counter(), []), folder / "damaged.pt"
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
            row.told["refused"] += 1
    return row


def poison(lab: Lab, trials: int, seed: int) -> Row:
    """Gradients that are not a number at a random step: the run stops, and can go on."""
    whole = undisturbed(lab, "whole-poison")
    row = Row("NaN in the gradients", trials, Counter(), [])
    for trial in range(seed, seed + trials):
        folder = lab.workspace(f"poison-{trial}")
        step = random.Random(trial).randint(1, whole.num_steps)
        code = lab.run(folder, whole.config, partial(_poison, lab, step))
        is_told = "had gradients that are not finite" in _error(folder)
        row.told["stopped" if code == 1 and is_told else "not told"] += 1
        if code != 1 or not is_told:
            row.wrong.append(f"trial {trial}: exit code {code}: {_error(folder)}")
        _finish(lab, row, folder, whole, trial)
    return row


def _poison(lab: Lab, step: int) -> None:
    """Makes the gradients of a step not a number, in this process."""
    trainer = lab.module("training.trainer").Trainer
    take_step, taken = trainer.train_step, iter(range(1, 1_000_000))

    def poisoned(self: Any, batch: Any) -> None:
        if next(taken) == step:
            batch = [part._replace(weight=float("nan")) for part in batch]
        take_step(self, batch)

    trainer.train_step = poisoned


def full_disk(lab: Lab, trials: int, seed: int) -> Row:
    """The disk is full at each write of a training in turn: it says so, and can go on."""
    whole = undisturbed(lab, "whole-disk")
    config = replace(whole.config, training=replace(whole.config.training, max_steps=12))
    small = lab.workspace("whole-disk-small")
    counted = small / "writes"
    assert lab.run(small, config, partial(_fail_write, 0, counted)) == 0
    short = Whole(config, result(small), 0)
    num_writes = int(counted.read_text())
    row = Row("a write fails: disk full", 0, Counter(), [])
    for number in range(1, num_writes + 1):
        if number > trials:
            break
        row.trials += 1
        folder = lab.workspace(f"disk-{number}")
        code = lab.run(folder, config, partial(_fail_write, number, folder / "writes"))
        error = _error(folder)
        row.told["went on" if code == 0 else "one line"] += 1
        if code not in (0, 1) or (code and "No space left" not in error):
            row.wrong.append(f"write {number}: exit code {code}: {error}")
        if code == 0 and result(folder) == short.result:
            shutil.rmtree(folder)
            continue
        _finish(lab, row, folder, short, number)
    return row


def _fail_write(number: int, counted: Path) -> None:
    """Makes the n-th opening of a file for writing fail, in this process; counts them."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event != "open" or not isinstance(arguments[1], str):
            return
        path, mode = arguments[0], arguments[1]
        if not set("wxa") & set(mode) or str(path) == str(counted) or "output.txt" in str(path):
            return
        count += 1
        if number == 0:
            Path(counted).write_text(str(count))
        elif count == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    sys.addaudithook(hook)


PROOFS: dict[str, Callable[[Lab, int, int], Row]] = {
    "kill": partial(signals, number=signal.SIGKILL),
    "terminate": partial(signals, number=signal.SIGTERM),
    "damage": damage,
    "poison": poison,
    "full-disk": full_disk,
}
SHARE = {"kill": 1.0, "terminate": 0.25, "damage": 5.0, "poison": 0.1, "full-disk": 1.0}
"""Trials of each proof for one of `--trials`."""


def main() -> int:
    """Prints a row for each proof; returns 1 when anything went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20, help="kills; others have a share of that")
    parser.add_argument("--seed", type=int, default=0, help="the first trial's number")
    parser.add_argument("--only", nargs="+", choices=PROOFS, default=list(PROOFS))
    options = parser.parse_args()
    [package] = [path.parent.name for path in Path("src").glob("*/train.py")]
    sys.path.insert(0, "src")
    wrong: list[str] = []
    print(f"{'what happens':26}{'trials':>7}{'seconds':>9}  {'came to':54}{'wrong':>5}")
    with TemporaryDirectory(prefix="resume-") as folder:
        lab = Lab(package, Path.cwd(), Path(folder).resolve())
        _import_once(lab)
        for name in options.only:
            start = time.monotonic()
            row = PROOFS[name](lab, max(1, round(options.trials * SHARE[name])), options.seed)
            told = ", ".join(f"{count} {what}" for what, count in sorted(row.told.items()))
            seconds = time.monotonic() - start
            print(
                f"{row.name:26}{row.trials:7}{seconds:9.0f}  {told:54}{len(row.wrong):5}",
                flush=True,
            )
            wrong += [f"{row.name}: {one}" for one in row.wrong]
    print(*wrong[:50], sep="\n", end="\n" * bool(wrong))
    return int(bool(wrong))


def _import_once(lab: Lab) -> None:
    """Imports all that a training needs, and starts none of PyTorch's threads."""
    torch = import_module("torch")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    lab.module("training.fit")
    lab.module("models.mlp")


if __name__ == "__main__":
    sys.exit(main())

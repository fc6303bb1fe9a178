"""Trainings in processes forked from this one, and their expected results."""

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from proof_table import Row

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
    "training.export=none",
    "launcher.num_threads=1",
)
KILLED, ENDED, INTERRUPTED = -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM


@dataclass(frozen=True)
class Lab:
    """A project, and where faults are injected into its trainings."""

    package: str
    project: Path
    folder: Path

    def module(self, name: str) -> Any:
        """Return a module of the project's package."""
        return import_module(f"{self.package}.{name}")

    def config(self, *overrides: str) -> Any:
        """Return the configuration of the trainings with these overrides."""
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

    def start(self, folder: Path, config: Any, fault: Callable[[], None] = lambda: None) -> int:
        """Return the id of a process that trains in the folder, after the fault was injected."""
        return self.fork(folder, partial(self.fit, config), fault)

    def fit(self, config: Any) -> None:
        """Train in this process and folder."""
        with self.module("compose").one_line_errors():
            self.module("training.fit").fit(config)

    def start_command(
        self,
        folder: Path,
        name: str,
        *arguments: str,
        fault: Callable[[], None] = lambda: None,
    ) -> int:
        """Return the id of a process that injects the fault and runs a module's command."""

        def command() -> None:
            sys.argv = [name, *arguments]
            self.module(name).main()

        return self.fork(folder, command, fault)

    def fork(
        self,
        folder: Path,
        work: Callable[[], None],
        fault: Callable[[], None] = lambda: None,
        *,
        name: str = "",
    ) -> int:
        """Return the id of a process that works in the folder; `name` names its output files."""
        child = os.fork()
        if child:
            return child
        code = 70
        try:
            os.chdir(folder)
            # Not in its folder, whose disk may be full.
            name = name or folder.name
            output = self.folder / f"{name}.output"
            with output.open("a") as file, redirect_stdout(file), redirect_stderr(file):
                code = self._work(work, fault, self.folder / f"{name}.error")
        finally:
            os._exit(code)

    def error(self, folder: Path, name: str = "") -> str:
        """Return the error of the last work in the folder, or of that `name`."""
        path = self.folder / f"{name or folder.name}.error"
        return path.read_text() if path.exists() else ""

    def output(self, folder: Path) -> str:
        """Return what the trainings in the folder have printed."""
        return (self.folder / f"{folder.name}.output").read_text()

    def _work(self, work: Callable[[], None], fault: Callable[[], None], why: Path) -> int:
        """Return the exit code of work in this process and folder; `why` gets the error."""
        logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
        try:
            why.write_text("")
            fault()
            work()
        except SystemExit as ended:
            why.write_text(str(ended.code))
            return ended.code if isinstance(ended.code, int) else 1
        except BaseException as error:
            why.write_text(repr(error))
            return 70
        return 0

    def run(self, folder: Path, config: Any, fault: Callable[[], None] = lambda: None) -> int:
        """Return the exit code of a training."""
        return ended(self.start(folder, config, fault))


def ended(process: int) -> int:
    """Wait for a process to end; return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def result(folder: Path) -> tuple[bytes, bytes]:
    """Return the weights and the curve."""
    names = ("models/bundle/model.safetensors", "reports/history.csv")
    weights, curve = ((folder / name).read_bytes() for name in names)
    return weights, curve


@dataclass(frozen=True)
class Whole:
    """An uninterrupted training."""

    config: Any
    result: tuple[bytes, bytes]
    duration_s: float

    @property
    def num_steps(self) -> int:
        """The step of the last evaluation."""
        return int(self.result[1].splitlines()[-1].split(b",")[1])


def undisturbed(lab: Lab, name: str, *overrides: str) -> Whole:
    """Train once."""
    config, folder = lab.config(*overrides), lab.workspace(name)
    start = time.monotonic()
    assert lab.run(folder, config) == 0, lab.error(folder)
    return Whole(config, result(folder), time.monotonic() - start)


def newest(folder: Path) -> str:
    """Return the name of the newest checkpoint of a step."""
    return max(
        (path.name for path in (folder / "models/checkpoints").glob("step-*.pt")), default=""
    )


def finish(lab: Lab, row: Row, folder: Path, whole: Whole, trial: int) -> None:
    """Train to the end, compare, and clean up."""
    check_end(lab, row, folder, whole, trial, lab.run(folder, whole.config))


def check_end(lab: Lab, row: Row, folder: Path, whole: Whole, trial: int, code: int) -> None:
    """Check that a training ended as the uninterrupted one and left nothing; clean up."""
    if code:
        row.wrong.append(f"trial {trial}: exit code {code}: {lab.error(folder)}")
    elif result(folder) != whole.result:
        row.wrong.append(f"trial {trial}: other bytes")
    if left := [
        path.name for path in (folder / "models/checkpoints").glob("*") if path.name != "best.pt"
    ]:
        row.wrong.append(f"trial {trial}: left behind {left}")
    shutil.rmtree(folder)

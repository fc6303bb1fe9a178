"""SIGKILL at every change that a stage makes to the disk: the artifact must be old or new."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from proof_table import Row
from pyarrow import parquet

from .disks import CHANGES, before_changes, kill
from .lab import KILLED, SETTINGS, Lab, ended

EVENTS = (*CHANGES, "os.rmdir", "os.chmod", "ctypes.dlsym", "sqlite3.connect")
"""Audit events of what changes the disk, or is about to: two folders are exchanged by ctypes."""

Files = dict[str, bytes]


@dataclass(frozen=True)
class Stage:
    """A stage, the commands before it, and its artifact."""

    name: str
    before: tuple[tuple[str, ...], ...]
    """Commands that make the old artifact, and all that the stage needs for the new one."""
    command: tuple[str, ...]
    """The stage with its settings, which makes the new one."""
    made: Callable[[Lab, Path], Any]
    """Returns the content of the artifact in a folder."""


def kills(lab: Lab, trials: int, seed: int, *, stage: Stage) -> Row:
    """Kill a stage before its n-th change to the disk, for every n, and run it again."""
    ready = _ready(lab, stage)
    old = stage.made(lab, ready)
    num_changes, new = _undisturbed(lab, stage, ready)
    assert old != new, "the stage changes nothing"
    numbers = list(range(1, num_changes + 1))
    if len(numbers) > trials:
        numbers = sorted(random.Random(seed).sample(numbers, trials))
    row = Row(f"{stage.name} killed", len(numbers))
    for number in numbers:
        folder = _copy(ready, lab.folder / f"{stage.name}-{number}")
        struck = partial(before_changes, partial(kill, number), EVENTS)
        code = ended(_start(lab, folder, stage.command, struck))
        left = stage.made(lab, folder)
        row.outcomes["old" if left == old else "new" if left == new else "a mixture"] += 1
        if code != KILLED or left not in (old, new):
            row.wrong.append(f"change {number}: exit code {code}, {lab.error(folder)}: {left}")
        code = ended(_start(lab, folder, stage.command))
        if code or stage.made(lab, folder) != new:
            row.wrong.append(f"change {number}, again: exit code {code}: {lab.error(folder)}")
        if litter := [str(path) for path in folder.rglob(".*.new")]:
            row.wrong.append(f"change {number}: left behind {litter}")
        shutil.rmtree(folder)
    return row


def _ready(lab: Lab, stage: Stage) -> Path:
    """Return a folder in which the stage has an old artifact to replace."""
    folder = lab.folder / f"ready-{stage.name}"
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "configs").symlink_to(lab.project / "configs")
    table = parquet.read_table(lab.project / "data/raw/dataset.parquet")
    every_fifth = table.take(list(range(0, len(table), 5)))
    parquet.write_table(every_fifth, folder / "data/raw/dataset.parquet")
    for command in stage.before:
        assert ended(_start(lab, folder, command)) == 0, lab.error(folder)
    return folder


def _undisturbed(lab: Lab, stage: Stage, ready: Path) -> tuple[int, Any]:
    """Return how many changes the stage makes, and its result."""
    folder = _copy(ready, lab.folder / f"whole-{stage.name}")
    counted = lab.folder / f"{stage.name}.error"  # a name that is not counted
    log = counted.open("w")
    count = partial(before_changes, lambda n: print(n, file=log, flush=True), EVENTS)
    assert ended(_start(lab, folder, stage.command, count)) == 0, lab.error(folder)
    log.close()
    made = stage.made(lab, folder)
    return int(counted.read_text().split()[-1]), made


def _start(
    lab: Lab,
    folder: Path,
    command: tuple[str, ...],
    fault: Callable[[], None] = lambda: None,
) -> int:
    """Return the id of a process that runs a stage in the folder, after the fault was injected."""
    name, *settings = command
    return lab.start_command(folder, name, *SETTINGS, *settings, fault=fault)


def _copy(ready: Path, folder: Path) -> Path:
    shutil.copytree(ready, folder, symlinks=True)
    return folder


def _files(lab: Lab, folder: Path, *, of: str) -> Files:
    """Return the files of an artifact and their contents."""
    paths = sorted((folder / of).rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def _registered(lab: Lab, folder: Path) -> str:
    """Return the champion's bundle, or why a fetched one is incomplete."""
    bundle = lab.module("models.bundle")
    for fetched in (folder / "models" / "champion").glob("[!.]*"):
        try:
            bundle.Bundle.load(fetched)
        except bundle.BundleError as error:
            return str(error)
    return _champion(lab, folder)


def _champion(lab: Lab, folder: Path) -> str:
    """Return the bundle's tag of the champion, read by a process of its own."""
    answer = lab.folder / f"{folder.name}.champion"

    def ask() -> None:
        config = lab.config("tracking=mlflow")
        champion = lab.module("tracking.registry").create_registry(config.tracking).champion("toy")
        answer.write_text(champion.tags["bundle_version"] if champion else "")

    assert ended(lab.fork(folder, ask)) == 0, lab.error(folder)
    return answer.read_text()


FAST = ("training.max_steps=10", "training.evaluate_every_n_steps=10")
OTHER = (*FAST, "seed=1")
REGISTRY = ("tracking=mlflow", "registry.model_name=toy", "registry.threshold=0")
REGISTRY = (*REGISTRY, "registry.tolerance=1")
CHANGED = "data.encoder.min_count=3"  # so that the champion is fetched, and measured again

PREPROCESS = Stage(
    "preprocess",
    before=(("preprocess",),),
    command=("preprocess", "data.split_seed=1"),
    made=partial(_files, of="data/processed"),
)
EVALUATE = Stage(
    "evaluate",
    before=(("preprocess",), ("train", *FAST), ("evaluate", *FAST), ("train", *OTHER)),
    command=("evaluate", *OTHER),
    made=partial(_files, of="reports"),
)
REGISTER = Stage(
    "register",
    before=(
        ("preprocess",),
        *((name, *FAST, *REGISTRY) for name in ("train", "evaluate", "register")),
        ("preprocess", CHANGED),
        *((name, *OTHER, *REGISTRY, CHANGED) for name in ("train", "evaluate")),
    ),
    command=("register", *OTHER, *REGISTRY, CHANGED),
    made=_registered,
)

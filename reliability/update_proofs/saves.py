"""Save files as editors do while a command runs: before each of its steps, and at random times.

A save is lost when its mark is in no file of the project and in no version of an unmerged path.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from . import crashes
from .crashes import Scenario, Tally
from .faults import Ended, Fault, begin, run
from .projects import Lab, copied, difference, files_of, git, index_of, leftovers, unmerged

# Keeps a core busy for at most ten minutes.
_BUSY = "import time; end = time.monotonic() + 600\nwhile time.monotonic() < end: pass"


def in_place(file: Path, content: bytes) -> None:
    """Save a file as an editor does that writes into it."""
    file.write_bytes(content)


def by_rename(file: Path, content: bytes) -> None:
    """Save a file as an editor does that writes another and renames it."""
    new = file.with_name(f".{file.name}.saved")
    new.write_bytes(content)
    try:
        new.replace(file)
    except OSError:
        new.unlink()
        raise


WAYS = {"in place": in_place, "by rename": by_rename}


def scenarios(lab: Lab) -> Generator[Scenario]:
    """Yield the commands that change a project's files, and the recovery of one that was killed."""
    found = [one for one in crashes.scenarios(lab) if "--branch" not in one.command]
    yield from found
    killed = crashes.killed_when(lab, found[0], _is_half_way)
    base = copied(killed, lab.folder / "half-way")
    yield Scenario("recovery", base, ("update", "--abort"), found[0].before, found[0].before)


def save_everywhere(lab: Lab, scenario: Scenario, *, every: int = 1, start: int = 0) -> Tally:
    """Save each file that the command changes, in each way, before each of its steps."""
    tally = Tally()
    steps = run(lab, copied(scenario.base, lab.folder / "trial"), scenario.command).steps
    trials = [
        (step, path, way) for step in range(steps) for path in _touched(scenario) for way in WAYS
    ]
    for number, (step, path, way) in enumerate(trials[start::every]):
        project = copied(scenario.base, lab.folder / "trial")
        mark, saved = f"mark-{number};".encode(), lab.folder / "saved"
        saved.unlink(missing_ok=True)
        fault = _saving(step, project / path, way, mark, saved)
        ended = run(lab, project, scenario.command, fault)
        if saved.exists():
            what = f"{path} saved {way} before step {step}"
            _check(scenario, project, path, mark, ended, tally, what)
    return tally


def race(lab: Lab, scenario: Scenario, *, trials: int, seed: int) -> Tally:
    """Save a file at a random time of the command, on an overloaded machine."""
    tally, chance = Tally(), random.Random(seed)
    touched = _touched(scenario)
    with _busy():
        whole_s = max(_raced(lab, scenario)[0] for _ in range(3))
        while tally.trials < trials:
            path, way = chance.choice(touched), chance.choice(list(WAYS))
            delay_s, mark = chance.uniform(0, whole_s), f"mark-{tally.trials};".encode()
            _, is_saved, ended = _raced(lab, scenario, path, way, mark, delay_s)
            if is_saved:
                what = f"{path} saved {way} after {delay_s * 1000:.1f} ms"
                _check(scenario, lab.folder / "trial", path, mark, ended, tally, what)
    return tally


def _is_half_way(top: Path) -> bool:
    file = top / "src" / "main.py"
    return file.exists() and "main again" in file.read_text()


def _saving(number: int, file: Path, way: str, mark: bytes, saved: Path) -> Fault:
    """Save the file before that step; make `saved` where that could be done."""

    def fault(step: int) -> None:
        if step == number:
            with contextlib.suppress(OSError):
                WAYS[way](file, mark + b"\n")
                saved.touch()

    return fault


def _raced(
    lab: Lab,
    scenario: Scenario,
    path: str = "",
    way: str = "",
    mark: bytes = b"",
    delay_s: float = 0,
) -> tuple[float, bool, Ended]:
    """Return the seconds of writing, whether the file was saved, and how the command ended."""
    project = copied(scenario.base, lab.folder / "trial")
    begun = begin(lab, project, scenario.command)
    since, is_saved = time.perf_counter(), False
    if path:
        time.sleep(delay_s)
        with contextlib.suppress(OSError):
            WAYS[way](project / path, mark + b"\n")
            is_saved = True
    ended = begun.wait()
    return time.perf_counter() - since, is_saved, ended


def _touched(scenario: Scenario) -> list[str]:
    """Return the files that the command changes, and those in conflict."""
    before, after = files_of(scenario.base), scenario.after["files"]
    assert isinstance(after, dict)
    changed = {path for path in before | after if before.get(path) != after.get(path)}
    changed |= set(unmerged(scenario.base))
    return sorted(path for path in changed if not path.endswith("/"))


def _check(
    scenario: Scenario,
    project: Path,
    path: str,
    mark: bytes,
    ended: Ended,
    tally: Tally,
    what: str,
) -> None:
    """Check that the mark exists, a refusal is one line, and the rest is before or after."""
    tally.trials += 1
    is_done = ended.code in (0, 3)
    tally.after, tally.before = tally.after + is_done, tally.before + (not is_done)
    stages = {id for ids in unmerged(project).values() for id in ids}
    contents = [content for _, content in files_of(project).values()]
    contents += [git(project, "cat-file", "blob", id) for id in stages]
    expected, found = scenario.after if is_done else scenario.before, _seen(project)
    told = difference(_without(expected, path), _without(found, path))
    if not any(mark in content for content in contents):
        told = "the save is lost"
    elif ended.code not in (0, 1, 3) or (ended.code == 1 and ended.printed.count("\n") != 1):
        told = "not one line"
    if told:
        said = f" [exit {ended.code}: {ended.printed.strip()}]"
        tally.wrong.append(f"{scenario.name}, {what}: {told}{said}")


def _seen(project: Path) -> dict[str, object]:
    return {"files": files_of(project), "index": index_of(project), "left": leftovers(project)}


def _without(snapshot: dict[str, object], path: str) -> dict[str, object]:
    """Return the snapshot without a path and what is above and below it."""
    files, index = snapshot["files"], snapshot["index"]
    assert isinstance(files, dict) and isinstance(index, list)
    above = {f"{parent}/" for parent in Path(path).parents}
    return {
        "files": {one: files[one] for one in files if one != path and one not in above},
        "index": [line for line in index if line.partition(b"\t")[2] != os.fsencode(path)],
        "left": snapshot["left"],
    }


@contextlib.contextmanager
def _busy() -> Generator[None]:
    """Keep each core busy with a process until the block ends."""
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            one = stack.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
            stack.callback(one.kill)
        yield

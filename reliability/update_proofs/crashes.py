"""Kill updates, or fail their disk writes, before every step that changes the project's disk.

Each trial is a process of its own that really is killed.
"""

import contextlib
import errno
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .faults import Ended, begin, fail_at, kill_at, run, signal_at
from .projects import Lab, commit, copied, difference, git, snapshot

INTERRUPTED = "an update that was interrupted has been "
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)


@dataclass(frozen=True)
class Scenario:
    """A command on a project."""

    name: str
    base: Path
    """The project before the command."""
    command: tuple[str, ...]
    after: dict[str, object]
    origin: dict[str, object]
    """The project before its update, which --abort restores."""

    @property
    def before(self) -> dict[str, object]:
        """The project before the command."""
        return snapshot(self.base)


@dataclass
class Tally:
    """The number of trials, their outcomes, and the failures."""

    trials: int = 0
    before: int = 0
    after: int = 0
    wrong: list[str] = field(default_factory=list)


def scenarios(lab: Lab) -> Iterator[Scenario]:
    """Yield the commands that change a project, each on a project with edits of its user."""
    calm = _project(lab, "calm", line=20)
    hard = _project(lab, "hard", line=5)
    to = ("update", "--to", "v2.1.0")
    # Fills the lab's renders, which the processes of the commands share.
    lab.update(calm, to="v2.1.0", dry_run=True)
    yield _scenario(lab, "update", calm, to)
    yield _scenario(lab, "update --commit", calm, (*to, "--commit"))
    yield _scenario(lab, "update --branch", calm, (*to, "--branch", "new"))
    conflicts = _scenario(lab, "update, with conflicts", hard, to)
    yield conflicts
    started = _started(lab, conflicts)
    yield _scenario(lab, "update --abort", started, ("update", "--abort"), origin=hard)
    settled = copied(started, lab.folder / "settled")
    file = settled / "src" / "main.py"
    file.write_text(
        "\n".join(line for line in file.read_text().split("\n") if line[:1] not in "<|=>")
    )
    yield _scenario(lab, "update --continue", settled, ("update", "--continue"), origin=hard)


def kill_everywhere(lab: Lab, scenario: Scenario, *, every: int = 1, start: int = 0) -> Tally:
    """SIGKILL before each step that changes the disk, then another command."""
    tally = Tally()
    for number in range(start, _steps(lab, scenario), every):
        project = copied(scenario.base, lab.folder / "trial")
        ended = run(lab, project, scenario.command, kill_at(number))
        assert ended.code == -signal.SIGKILL, ended
        _check_recovery(lab, scenario, project, tally, f"killed before step {number}", number)
    return tally


def killed_when(lab: Lab, scenario: Scenario, is_reached: Callable[[Path], bool]) -> Path:
    """Return a project in which the command was killed at the first step that `is_reached`."""
    project = copied(scenario.base, lab.folder / "trial")

    def fault(_: int) -> None:
        if is_reached(project):
            os.kill(os.getpid(), signal.SIGKILL)

    ended = run(lab, project, scenario.command, fault)
    assert ended.code == -signal.SIGKILL, ended
    return project


def kill_recovery(lab: Lab, scenario: Scenario, *, every: int = 1) -> Tally:
    """SIGKILL during the update, then before each step of the recovery, then another command."""
    tally = Tally()
    steps = _steps(lab, scenario)
    for first in range(steps // 2, steps, max(1, steps // 8)):
        killed = copied(scenario.base, lab.folder / "killed")
        run(lab, killed, scenario.command, kill_at(first))
        abort = ("update", "--abort")
        for second in range(0, run(lab, copied(killed, lab.folder / "trial"), abort).steps, every):
            project = copied(killed, lab.folder / "trial")
            run(lab, project, abort, kill_at(second))
            what = f"killed before step {first}, recovery before step {second}"
            _check_recovery(lab, scenario, project, tally, what, 0)
    return tally


def kill_at_random(lab: Lab, scenario: Scenario, *, trials: int, seed: int) -> Tally:
    """SIGKILL to the command and its git processes at a random time while it writes."""
    tally, chance = Tally(), random.Random(seed)
    whole_s = max(_killed_after(lab, scenario, None) for _ in range(3))
    for trial in range(trials):
        delay_s = chance.uniform(0, whole_s)
        _killed_after(lab, scenario, delay_s)
        what = f"killed after {delay_s * 1000:.1f} ms"
        _check_recovery(lab, scenario, lab.folder / "trial", tally, what, trial)
    return tally


def fail_everywhere(
    lab: Lab, scenario: Scenario, *, lasting: bool, every: int = 1, start: int = 0
) -> Tally:
    """Let the disk fail at each step, once or from there on: exit 1, one line, all as before.

    A failure past the point of no return may leave the update completed instead.
    """
    tally = Tally()
    for number in range(start, _steps(lab, scenario), every):
        code = ERRORS[number % len(ERRORS)]
        project = copied(scenario.base, lab.folder / "trial")
        ended = run(lab, project, scenario.command, fail_at(number, code, lasting=lasting))
        what = f"{errno.errorcode[code]} {'from' if lasting else 'at'} step {number}"
        _check_ended(scenario, project, ended, tally, what, lasting=lasting)
        if lasting:
            _check_recovery(lab, scenario, project, tally, what, 0)
    return tally


def fill_disk(lab: Lab, scenario: Scenario, *, sizes: Iterable[int]) -> Tally:
    """Run on a mounted disk with so many bytes left: exit 1, one line, all as before.

    Needs the right to mount one; without it there are no trials.
    """
    tally = Tally()
    disk = lab.folder / "disk"
    disk.mkdir(exist_ok=True)
    for size in sizes:
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            return tally
        try:
            project = copied(scenario.base, disk / "trial")
            _fill(disk / "filler", leaving=size)
            ended = run(lab, project, scenario.command)
            _check_ended(scenario, project, ended, tally, f"{size} bytes left", lasting=False)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return tally


def signal_everywhere(lab: Lab, scenario: Scenario, *, every: int = 1, start: int = 0) -> Tally:
    """Ctrl-C and SIGTERM before each step: exit 130 or 143, before or after, nothing left."""
    tally = Tally()
    for number in range(start, _steps(lab, scenario), every):
        sent = (signal.SIGINT, signal.SIGTERM)[number % 2]
        project = copied(scenario.base, lab.folder / "trial")
        ended = run(lab, project, scenario.command, signal_at(number, sent))
        what = f"{sent.name} before step {number}"
        tally.trials += 1
        found = snapshot(project)
        is_after = found == scenario.after
        tally.after, tally.before = tally.after + is_after, tally.before + (not is_after)
        if found not in (scenario.before, scenario.after):
            _blame(tally, scenario, what, difference(scenario.before, found))
        elif ended.code != 128 + sent or len(ended.printed.splitlines()) > 1:
            _blame(tally, scenario, what, f"exit {ended.code}: {ended.printed}")
        elif sent == signal.SIGINT and ("nothing was changed" in ended.printed) == is_after:
            _blame(tally, scenario, what, f"said: {ended.printed}")
    return tally


def _killed_after(lab: Lab, scenario: Scenario, delay_s: float | None) -> float:
    """Run the command in lab/trial and kill it; return for how long it touched the project."""
    begun = begin(lab, copied(scenario.base, lab.folder / "trial"), scenario.command)
    start = time.perf_counter()
    if delay_s is not None:
        select.select([begun.ends], [], [], delay_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(begun.process, signal.SIGKILL)
    begun.wait()
    return time.perf_counter() - start


def _fill(file: Path, *, leaving: int) -> None:
    with file.open("wb") as opened:
        room = os.statvfs(file.parent)
        opened.write(bytes(max(0, room.f_bavail * room.f_bsize - leaving)))


def _check_recovery(
    lab: Lab, scenario: Scenario, project: Path, tally: Tally, what: str, number: int
) -> None:
    """Check that the next command reports the state before or after, and leaves nothing."""
    tally.trials += 1
    command = (("update", "--abort"), scenario.command, ("update", "--continue"))[number % 3]
    if scenario.command[1] in ("--abort", "--continue") or "--branch" in scenario.command:
        command = ("update", "--abort")
    needs_recovery = _needs_recovery(project)
    ended = run(lab, project, command)
    found, before, after = snapshot(project), scenario.before, scenario.after
    allowed = [before, after]
    if command[1] == "--abort":
        allowed = [scenario.origin, *([after] if not after["left"] else [])]
    elif command == scenario.command:
        allowed = [after]
    if found not in allowed:
        _blame(tally, scenario, what, difference(allowed[0], found), ended)
    elif needs_recovery and INTERRUPTED not in ended.printed:
        _blame(tally, scenario, what, "nothing was said", ended)
    elif "Traceback" in ended.printed or ended.code not in (0, 1, 3):
        _blame(tally, scenario, what, f"exit {ended.code}", ended)
    if found == after and INTERRUPTED + "completed" in ended.printed:
        tally.after += 1
    else:
        tally.before += 1


def _check_ended(
    scenario: Scenario, project: Path, ended: Ended, tally: Tally, what: str, *, lasting: bool
) -> None:
    if not lasting:
        tally.trials += 1
        found = snapshot(project)
        if found == scenario.after and ended.code in (0, 3):
            tally.after += 1
        elif found == scenario.before and ended.code == 1:
            tally.before += 1
        else:
            _blame(tally, scenario, what, _nearest(scenario, found), ended)
    if ended.code not in (0, 1, 3) or "Traceback" in ended.printed:
        _blame(tally, scenario, what, "not one clear line", ended)
    elif ended.code == 1 and len(ended.printed.splitlines()) != 1:
        _blame(tally, scenario, what, "not one line", ended)


def _nearest(scenario: Scenario, found: dict[str, object]) -> str:
    differences = [difference(one, found) for one in (scenario.before, scenario.after)]
    return min(differences, key=len) or "not the exit code that goes with it"


def _needs_recovery(project: Path) -> bool:
    journal = project / ".git" / "mlscaffold-update" / "journal.json"
    return journal.exists() and '"phase": "conflicts"' not in journal.read_text()


def _blame(
    tally: Tally, scenario: Scenario, what: str, why: str, ended: Ended | None = None
) -> None:
    said = f" [exit {ended.code}: {ended.printed.strip()}]" if ended else ""
    tally.wrong.append(f"{scenario.name}, {what}: {why}{said}")


def _steps(lab: Lab, scenario: Scenario) -> int:
    ended = run(lab, copied(scenario.base, lab.folder / "trial"), scenario.command)
    assert ended.code in (0, 3) and ended.steps, ended
    return ended.steps


def _scenario(
    lab: Lab, name: str, base: Path, command: tuple[str, ...], *, origin: Path | None = None
) -> Scenario:
    project = copied(base, lab.folder / "trial")
    ended = run(lab, project, command)
    assert ended.code in (0, 3), ended
    return Scenario(name, base, command, snapshot(project), snapshot(origin or base))


def _started(lab: Lab, scenario: Scenario) -> Path:
    project = copied(scenario.base, lab.folder / "started")
    lab.update(project, to="v2.1.0", commits=True)
    return project


def _project(lab: Lab, name: str, *, line: int) -> Path:
    """Return a project at v2.0.0 with an edit in src/main.py and files not to be written."""
    project = lab.project(name, release="v2.0.0")
    main = project / "src" / "main.py"
    lines = main.read_text().split("\n")
    main.write_text("\n".join([*lines[:line], "mine", *lines[line + 1 :]]))
    (project / "own.txt").write_text("own\n")
    (project / "own.sh").write_text("own\n")
    (project / "own.sh").chmod(0o755)
    (project / "own link").symlink_to("own.txt")
    git(project, "add", "--all")
    commit(project)
    (project / "secret.local").write_text("ignored\n")
    (project / "notes.txt").write_text("untracked\n")
    (project / "empty").mkdir()
    git(project, "update-index", "--skip-worktree", "README.md")
    (project / "README.md").write_text("hidden\n")
    return project

"""Faults of a real server while a real process trains, and what is recorded of the run.

The time of a fault depends only on the number of its trial.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import training

NUM_STEPS = 1500
ENGINE = Path(__file__).parents[2] / "tests" / "engine" / "tracking"
"""The folder of the server and the proxy, which the engine's tests use too."""
ENDED = "ended"
"""A file that is made when the process has ended."""
ROW = "{:36}{:>7}{:>11}{:>8}{:>8}{:>10}{:>9}{:>8}{:>7}"
TITLES = (
    *("fault", "trials", "held up s", "end s", "exit s", "left", "missing", "double"),
    "wrong",
)


@dataclass
class Tally:
    """The results of the trials of one fault."""

    trials: int = 0
    held_s: float = 0
    """The longest that tracking held up training, all calls of one run together."""
    end_s: float = 0
    """The longest from the last step to the end of the run."""
    exit_s: float = 0
    """The longest from the last step to the end of the process, which frees its libraries."""
    left: int = 0
    """Trials in which the run left something to be delivered later."""
    missing: int = 0
    double: int = 0
    wrong: list[str] = field(default_factory=list)
    """Other failures."""


@dataclass
class Bench:
    """A server, a proxy in front of it, and the project whose tracking is tested."""

    package: str
    folder: Path
    server: Any
    proxy: Any
    modes: Any
    uri: str = ""
    """The address of the server, or of the proxy, for the training process."""

    def begin(self, folder: Path, *, first: int = 1, run_id: str = "") -> subprocess.Popen[bytes]:
        """Start a training process in `folder`."""
        command = [sys.executable, "-m", training.__name__, self.package, "report.jsonl"]
        command += [str(first), str(NUM_STEPS), *filter(None, [run_id])]
        with (folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                command, cwd=folder, env=self._environment, stdout=output, stderr=output
            )

    def deliver(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the command that delivers what is left in `folder`."""
        command = [sys.executable, "-m", f"{self.package}.tracking.mlflow.delivery"]
        return subprocess.run(
            command, cwd=folder, env=self._environment, capture_output=True, text=True, timeout=300
        )

    @property
    def _environment(self) -> dict[str, str]:
        sources = os.pathsep.join([sys.path[0], str(Path(__file__).parents[1])])
        return {**os.environ, "PYTHONPATH": sources, "MLFLOW_TRACKING_URI": self.uri}


@dataclass(frozen=True)
class Fault:
    """What is done to the server during training, and how it is repaired after it."""

    name: str
    inject: Callable[[Bench], None]
    repair: Callable[[Bench], None]
    lasts_s: float | None = None
    """Repaired after this time, during training; `None`: after the end of the process."""


def _mode(name: str) -> Callable[[Bench], None]:
    return lambda bench: setattr(bench.proxy, "mode", bench.modes[name])


FAULTS = {
    "killed": Fault("SIGKILL", lambda b: b.server.kill(), lambda b: b.server.start()),
    "frozen": Fault("SIGSTOP", lambda b: b.server.freeze(), lambda b: b.server.thaw()),
    "paused": Fault(
        "SIGSTOP for 2 s, then SIGCONT", lambda b: b.server.freeze(), lambda b: b.server.thaw(), 2
    ),
    "500": Fault("answers 500", _mode("fails"), _mode("passes")),
    "slow": Fault("answers after 3 s", _mode("is_slow"), _mode("passes")),
    "cut": Fault("does it, its answer is lost", _mode("loses_answers"), _mode("passes")),
    "crash": Fault("the training process is killed", lambda b: None, lambda b: None),
    "unacknowledged": Fault(
        "killed after an unanswered send", _mode("loses_answers"), _mode("passes")
    ),
}


PROXIED = ("500", "slow", "cut", "unacknowledged")
"""The faults that need the proxy; the others use the server directly."""


def run(package: str, numbers: Iterable[int], *, faults: Iterable[str]) -> int:
    """Print a row for each fault; return how many trials were wrong."""
    print(ROW.format(*TITLES))
    failed = 0
    with _bench(package) as bench:
        for name in faults:
            tally = Tally()
            for number in numbers:
                _trial(bench, name, number, tally)
            seconds = (f"{tally.held_s:.3f}", f"{tally.end_s:.1f}", f"{tally.exit_s:.1f}")
            counts = (tally.left, tally.missing, tally.double, len(tally.wrong))
            print(ROW.format(FAULTS[name].name, tally.trials, *seconds, *counts), flush=True)
            for line in tally.wrong:
                print(f"    {line}")
            failed += tally.missing + tally.double + len(tally.wrong)
    return min(failed, 1)


@contextmanager
def _bench(package: str) -> Generator[Bench]:
    sys.path.append(str(ENGINE))
    servers = import_module("mlflow_server")
    proxies = import_module("proxy")
    with TemporaryDirectory() as folder:
        server = servers.MlflowServer(Path(folder, "server"))
        server.start()
        proxy = proxies.Proxy(server.port)
        try:
            yield Bench(package, Path(folder), server, proxy, proxies.Mode)
        finally:
            proxy.close()
            server.kill()


def _trial(bench: Bench, name: str, number: int, tally: Tally) -> None:
    folder = bench.folder / f"{name}-{number}"
    (folder / training.BUNDLE).mkdir(parents=True)
    (folder / training.BUNDLE / "weights").write_text(f"{name} {number}")
    bench.uri = bench.proxy.uri if name in PROXIED else bench.server.uri
    chance = random.Random(f"{name} {number}")
    if name in ("crash", "unacknowledged"):
        process = _crashed(bench, name, folder, chance)
    else:
        process = _broken(bench, FAULTS[name], folder, chance)
    report = _report(folder)
    tally.trials += 1
    tally.held_s = max(tally.held_s, report["held_s"])
    tally.end_s = max(tally.end_s, report.get("ended", math.inf) - report["over"])
    tally.exit_s = max(tally.exit_s, (folder / ENDED).stat().st_mtime - report["over"])
    _judge(bench, process, folder, f"trial {number}", tally)


def _broken(
    bench: Bench, fault: Fault, folder: Path, chance: random.Random
) -> subprocess.Popen[bytes]:
    """Break the server at some time of a run; repair it after the run, or during it."""
    process = bench.begin(folder)
    _wait_for(folder, "run_id")
    time.sleep(chance.uniform(0, NUM_STEPS * training.STEP_S))
    fault.inject(bench)
    if fault.lasts_s:
        time.sleep(fault.lasts_s)
        fault.repair(bench)
    process.wait(300)
    (folder / ENDED).touch()
    if not fault.lasts_s:
        fault.repair(bench)
    return process


def _crashed(
    bench: Bench, name: str, folder: Path, chance: random.Random
) -> subprocess.Popen[bytes]:
    """Kill the training process, and resume from a step that is some steps back."""
    process = bench.begin(folder)
    run_id = _wait_for(folder, "run_id")
    began = time.monotonic()
    time.sleep(chance.uniform(0, NUM_STEPS * training.STEP_S))
    if name == "unacknowledged":
        bench.proxy.has_lost.clear()
        FAULTS[name].inject(bench)
        bench.proxy.has_lost.wait(30)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    FAULTS[name].repair(bench)
    reached = int((time.monotonic() - began) / training.STEP_S)
    first = chance.randrange(max(1, min(reached, NUM_STEPS) - 300), min(reached, NUM_STEPS) + 1)
    process = bench.begin(
        folder, first=min(first, _recorded_to(bench, folder, run_id) + 1), run_id=run_id
    )
    process.wait(300)
    (folder / ENDED).touch()
    return process


def _recorded_to(bench: Bench, folder: Path, run_id: str) -> int:
    """Return the last step that was recorded: a checkpoint is never newer.

    It is in the journal, or at the server if the process that delivers has removed the journal.
    """
    steps = [0]
    for journal in folder.glob(".tracking/*/journal.jsonl"):
        with suppress(FileNotFoundError):
            lines = journal.read_bytes().rpartition(b"\n")[0].splitlines()
            steps += [json.loads(line).get("step", 0) for line in lines]
    client = import_module("mlflow").MlflowClient(bench.server.uri)
    steps += [point.step for point in client.get_metric_history(run_id, training.FIGURES[-1])]
    return max(steps)


def _judge(
    bench: Bench, process: subprocess.Popen[bytes], folder: Path, trial: str, tally: Tally
) -> None:
    """Deliver what is left; compare what the server has with what was recorded."""
    if process.returncode:
        output = (folder / "output.txt").read_text()[-500:]
        tally.wrong.append(f"{trial}: exit code {process.returncode}: {output}")
    if list(folder.glob(".tracking/*")):
        tally.left += 1
        done = bench.deliver(folder)
        if done.returncode or list(folder.glob(".tracking/*")):
            tally.wrong.append(f"{trial}: delivery: {done.stdout}{done.stderr}")
    client = import_module("mlflow").MlflowClient(bench.server.uri)
    run_id = _report(folder)["run_id"]
    steps = range(training.LOG_EVERY_N_STEPS, NUM_STEPS + 1, training.LOG_EVERY_N_STEPS)
    for name in training.FIGURES:
        expected = Counter((step, training.value(name, step)) for step in steps)
        history = client.get_metric_history(run_id, name)
        found = Counter((point.step, point.value) for point in history)
        tally.missing += (expected - found).total()
        tally.double += (found - expected).total()
    run = client.get_run(run_id)
    folders = {file.path for file in client.list_artifacts(run_id)}
    if (run.info.status, folders) != ("FINISHED", {"model", "config.yaml"}):
        tally.wrong.append(f"{trial}: run {run_id} is {run.info.status} with {folders}")


def _report(folder: Path) -> dict[str, Any]:
    report = folder / "report.jsonl"
    lines = report.read_text().splitlines() if report.exists() else []
    return {key: value for line in lines for key, value in json.loads(line).items()}


def _wait_for(folder: Path, key: str) -> Any:
    deadline = time.monotonic() + 300
    while key not in (report := _report(folder)):
        if time.monotonic() > deadline:
            sys.exit((folder / "output.txt").read_text())
        time.sleep(0.05)
    return report[key]

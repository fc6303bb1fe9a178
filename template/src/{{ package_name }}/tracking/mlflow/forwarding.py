"""A process that delivers what a run records while it records, so that training waits for nothing.

In the process that trains, MLflow's client would take a quarter of the time of a small model's
steps. The process begins when a run has lasted some seconds, and ends with it, however that ends.
It also records the use of CPU, memory and GPU: what it measures while no server answers is lost.
"""

import logging
import os
import select
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Thread, Timer
from time import monotonic

from ..base import TrackingError
from .outbox import Outbox, waiting

log = logging.getLogger(__name__)

START_AFTER_S = 3
"""A run that is shorter is delivered at its end."""
MAX_INTERVAL_S = 10
"""Between deliveries; each interval is twice the one before."""
MAX_SILENT_INTERVAL_S = 60
"""Between tries to reach a server that does not answer."""
SAMPLE_EVERY_S = 5
"""Between system metrics, unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says another."""
EXIT_WAIT_S = 4
"""What a run waits at its end, at most, for the rest to be delivered."""


class Forwarder:
    """Sees to it that a journal is delivered while it grows, and the rest of it at the end."""

    def __init__(self, folder: Path, *, system_metrics: bool) -> None:
        self.folder = folder
        self._arguments = [str(folder), "--system-metrics"][: 1 + system_metrics]
        self._process: subprocess.Popen[bytes] | None = None
        self._timer = Timer(START_AFTER_S, self._start)
        self._timer.daemon = True
        self._timer.start()

    def finish(self, timeout_s: float = EXIT_WAIT_S) -> str:
        """Deliver the rest, if that is possible in time; return in words what is left."""
        deadline = monotonic() + timeout_s
        self._timer.cancel()
        self._timer.join()
        if self._process is None or not self._ends(self._process, timeout_s):
            # A daemon, so that a request without an answer does not keep the process alive.
            rest = Thread(target=_deliver_rest, args=(self.folder,), daemon=True)
            rest.start()
            rest.join(max(0, deadline - monotonic()))
        return waiting(self.folder)

    def _start(self) -> None:
        root = str(Path(__file__).parents[3])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *self._arguments],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which tells it
        )

    def _ends(self, process: subprocess.Popen[bytes], timeout_s: float) -> bool:
        """End the process; return whether it was at work and has delivered what it could."""
        assert process.stdin and process.stdout
        with process:
            has_answer, _, _ = select.select([process.stdout], [], [], 0)
            is_ready = bool(has_answer and process.stdout.read(1))
            process.stdin.close()
            try:
                process.wait(timeout_s if is_ready else 0)
            except subprocess.TimeoutExpired:
                process.kill()
        return is_ready


def _deliver_rest(folder: Path) -> None:
    from .delivery import Delivery, deliver_others

    try:
        with Outbox(folder) as outbox:
            Delivery(outbox).deliver()
        deliver_others(folder)
    except TrackingError as error:
        log.warning("%s", error)


@contextmanager
def system_metrics(run_id: str) -> Generator[None]:
    """Record the use of the machine meanwhile."""
    from .server import tracking_uri

    # isort: split
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
    uri = tracking_uri()
    monitor = SystemMetricsMonitor(run_id, SAMPLE_EVERY_S, resume_logging=True, tracking_uri=uri)
    monitor.start()
    yield
    monitor.finish()


def follow(folder: Path) -> None:
    """Deliver the journal in `folder` now and then until standard input ends, and once more."""
    from .delivery import Delivery, deliver_others

    interval_s, has_warned, has_others, is_over = 1, False, True, False
    with Outbox(folder, wait_s=float("inf")) as outbox:
        delivery = Delivery(outbox)
        with suppress(BrokenPipeError):  # a run may be over by now
            os.write(1, b".")
        while not is_over:
            is_over = bool(select.select([sys.stdin], [], [], interval_s)[0])
            try:
                delivery.deliver()
                if has_warned:
                    log.warning("the tracking server answers again: all is delivered")
                has_warned, longest_s = False, MAX_INTERVAL_S
                if has_others and not is_over:
                    has_others = False
                    deliver_others(folder)
            except TrackingError as error:
                longest_s = MAX_SILENT_INTERVAL_S
                if not has_warned:
                    log.warning("%s. Training continues; figures wait in %s", error, folder)
                has_warned = True
            interval_s = min(2 * interval_s, longest_s)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    journal = Path(sys.argv[1])
    with system_metrics(journal.name) if sys.argv[2:] else nullcontext():
        follow(journal)

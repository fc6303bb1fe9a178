"""A server's processes: their start, their CPU time, their memory and their end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

READY_WITHIN_S = 120
STOPS_WITHIN_S = 10
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Server(NamedTuple):
    """A server that has answered."""

    url: str
    """That predicts."""
    pid: int
    first_answer_s: float
    """Seconds from the start of the process to the first prediction."""

    def cpu_s(self) -> float:
        """Return the CPU time that its processes have taken."""
        ticks = (sum(map(int, fields[11:13])) for fields in self._stats())
        return sum(ticks) / TICKS_PER_S

    def rss_mib(self) -> float:
        """Return the resident memory of its processes; shared pages count for each."""
        return sum(int(fields[21]) for fields in self._stats()) * PAGE_BYTES / 2**20

    def _stats(self) -> list[list[str]]:
        """Return the fields of /proc/PID/stat from the state on, of the process and all below."""
        stats = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended
                stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        tree = {self.pid}
        while more := {pid for pid, stat in stats.items() if int(stat[1]) in tree} - tree:
            tree |= more
        return [stats[pid] for pid in tree if pid in stats]


def free_port() -> int:
    """Return a TCP port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def started(
    arguments: Sequence[str], url: str, *, body: str, environment: Mapping[str, str]
) -> Generator[Server]:
    """Start Python with the arguments, yield when the URL predicts the body, stop it afterwards."""
    command, start = [sys.executable, *arguments], time.monotonic()
    with (
        TemporaryFile("w+") as output,
        subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            while not _answers(url, body):
                if process.poll() is not None or time.monotonic() > start + READY_WITHIN_S:
                    output.seek(0)
                    sys.exit(f"error: no answer from {' '.join(command)}\n{output.read()[-3000:]}")
                time.sleep(0.01)
            yield Server(url, process.pid, time.monotonic() - start)
        finally:
            _stop(process)


def _answers(url: str, body: str) -> bool:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=READY_WITHIN_S) as response:
            return response.status == 200
    except urllib.error.HTTPError as error:
        if error.code == 503:  # the model is being loaded
            return False
        sys.exit(f"error: {url} gives {error.code}: {error.read(1000).decode(errors='replace')}")
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and what it has started."""
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPS_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

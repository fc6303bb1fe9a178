"""An open loop: requests are sent when they are due, whether or not earlier ones were answered.

A closed loop, such as wrk, waits for each answer, so it cannot ask for more than a server gives.
Latencies count from the time at which a request was due, so a late generator cannot hide a slow
server ("coordinated omission").
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from serving_load.processes import Server

DRAIN_S = 15.0
"""How long the last answers are waited for."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass
class Outcome:
    """What became of the requests."""

    num_due: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    """Answers by status; `no connection` and `no answer` for requests without one."""
    latencies_s: list[float] = field(default_factory=list)
    """Of the answers with status 200."""
    num_good: int = 0
    """Of them, those that came before the last request was due."""
    rss_mib: list[float] = field(default_factory=list)
    """The server's memory, each second."""


class _Connection(asyncio.Protocol):
    """A connection that is kept, with one request at a time."""

    def __init__(self, outcome: Outcome, free: "list[_Connection]") -> None:
        self._outcome, self._free = outcome, free
        self._received = bytearray()
        self._due: float | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if end else None
        if length is None or len(body) < int(length[1]) or self._due is None:
            return
        status = head[9:12].decode()
        self._outcome.statuses[status] += 1
        if status == "200":
            self._outcome.latencies_s.append(monotonic() - self._due)
        self._due = None
        self._received.clear()
        if _CLOSES.search(head):
            self._transport.close()
        else:
            self._free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._free:
            self._free.remove(self)
        if self._due is not None:
            self._outcome.statuses["no answer"] += 1
            self._due = None


class _Clients:
    """As many connections as there are requests without an answer."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self.outcome = Outcome()
        self._host, self._port = address.hostname or "", address.port or 80
        self._free: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, request: bytes, due: float) -> None:
        """Send it on a connection that is free, or on a new one."""
        self.outcome.num_due += 1
        if self._free:
            self._free.pop().send(request, due)
            return
        task = asyncio.create_task(self._open(request, due))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, request: bytes, due: float) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self.outcome, self._free), self._host, self._port
            )
        except OSError:
            self.outcome.statuses["no connection"] += 1
        else:
            connection.send(request, due)

    async def drain(self) -> None:
        """Wait for the answers that are missing, and count those that do not come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self.outcome.statuses.total() < self.outcome.num_due:
                    await asyncio.sleep(0.05)
        self.outcome.statuses["no answer"] += self.outcome.num_due - self.outcome.statuses.total()


async def open_loop(
    server: Server, bodies: Sequence[str], *, rate: float, seconds: float
) -> Outcome:
    """Send `rate` requests per second as a Poisson process; return what became of them."""
    clients, arrivals = _Clients(server.url), random.Random(0)
    requests = cycle(_requests(server.url, bodies))
    watching = asyncio.create_task(_watch(server, clients.outcome.rss_mib))
    due = start = monotonic()
    while due < start + seconds:
        await asyncio.sleep(max(due - monotonic(), 0))
        clients.send(next(requests), due)
        due += arrivals.expovariate(rate)
    clients.outcome.num_good = len(clients.outcome.latencies_s)
    await clients.drain()
    watching.cancel()
    return clients.outcome


async def _watch(server: Server, rss_mib: list[float]) -> None:
    while True:
        rss_mib.append(server.rss_mib())
        await asyncio.sleep(1)


def _requests(url: str, bodies: Sequence[str]) -> list[bytes]:
    address = urlsplit(url)
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: "
    return [f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in bodies]

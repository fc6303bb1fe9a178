"""Which requests are admitted: those that can be answered in time, judging by recent batches."""

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import ceil, inf
from time import monotonic
from typing import NamedTuple

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from ..data.rows import Detailed, Values
from .config import ServingConfig
from .engine import Engine, Served
from .guard import LOST
from .problems import CLIENT_GONE, InvalidError, Reason, UnavailableError

TIMEOUT_HEADER = b"x-request-timeout"
"""Seconds that the client waits for its answer; it can shorten `serving.max_wait_s`."""
CONFIDENCES = "confidences"
"""The parameter of a query that asks for the details of predictions."""
JSON_TYPE = b"application/json"
JSON = re.compile(rb"application/([^/;]+\+)?json\s*(;.*)?", re.IGNORECASE)
SMALL_BYTES = 8192
"""A body of an image up to this size may be read in the event loop."""
MARGIN, MARGIN_S, MAX_MARGIN = 0.2, 0.15, 0.5
"""The share of its time, and the seconds, that the queue should leave a request, up to the largest
share. At twice the capacity, one request of a hundred waits 0.2 s longer than most."""
WEIGHT = 0.9
"""The weight of a batch in the measured capacity is this times that of the batch after it."""

MIN_INPUTS = 8
"""Inputs that tell how long the queue takes."""


class Deadline(NamedTuple):
    """Until when a client waits for its answer."""

    timeout_s: float
    at: float
    """On the clock of `time.monotonic`."""

    def require_time(self) -> None:
        """Raise `UnavailableError` if it has passed."""
        if monotonic() > self.at:
            detail = f"the wait was longer than {self.timeout_s:g} s"
            raise UnavailableError(detail, Reason.deadline)


class Admitted(NamedTuple):
    """A request that has been read."""

    served: Served
    """The model that has read it, and must answer it."""
    rows: list[Values]
    deadline: Deadline


class Admission:
    """Reads requests if the queue, at the measured capacity, leaves them the time.

    A request is refused before its body is read. One that finds the server idle is always admitted,
    so that a capacity that was measured in a bad moment is measured again.
    """

    def __init__(self, engine: Engine) -> None:
        self.config: ServingConfig = engine.config
        self.telemetry = engine.telemetry
        self.num_inside = 0
        """Inputs that were read and are not answered. Whoever keeps them counts them here."""
        self._engine = engine
        engine.refusal = self._refusal_of_any
        self._inputs, self._seconds = 0.0, 0.0
        self._reader = ThreadPoolExecutor(1, "reader")

    def measure(self, num_inputs: int, seconds: float) -> None:
        """Take note that a batch took that long."""
        self.telemetry.model_time.observe(seconds)
        self._inputs = WEIGHT * self._inputs + num_inputs
        self._seconds = WEIGHT * self._seconds + seconds

    def expected_s(self, num_inputs: int) -> float:
        """Return the seconds that a batch should take; infinite before the first was measured."""
        return num_inputs * self._seconds / self._inputs if self._inputs else inf

    def require_room(self, num_inputs: int, deadline: Deadline) -> None:
        """Return if so many more inputs can be answered in time.

        Raises:
            UnavailableError: There are too many others, as a number or for the deadline.
        """
        if refusal := self._refusal(num_inputs, deadline):
            raise refusal

    def _refusal(self, num_inputs: int, deadline: Deadline) -> UnavailableError | None:
        if not self.num_inside:
            return None
        num_inputs += self.num_inside
        queue_s = self.num_inside * self._seconds / max(self._inputs, 1)
        if num_inputs > self.config.max_queue_size + self.config.max_batch_size:
            detail, reason = "too many inputs are waiting", Reason.queue_full
        elif self._is_known and queue_s > _without_margin(deadline.at - monotonic()):
            detail = f"the wait may be longer than {deadline.timeout_s:g} s"
            reason = Reason.deadline
        else:
            return None
        return UnavailableError(detail, reason, retry_after_s=max(1, ceil(queue_s)))

    @property
    def _is_known(self) -> bool:
        """Whether enough was measured: the first batch, perhaps of one input, takes far longer."""
        return self._inputs >= min(MIN_INPUTS, self.config.max_batch_size)

    def _refusal_of_any(self) -> UnavailableError | None:
        """Return why there is no room for one more input, whatever it is, or `None`."""
        timeout_s = self.config.max_wait_s
        return self._refusal(1, Deadline(timeout_s, monotonic() + timeout_s))

    async def read(
        self, scope: Scope, receive: Receive, *, is_batch: bool, query: bytes = b""
    ) -> Admitted:
        """Return the rows that a request asks to predict; `Detailed` ones if its query says so.

        Raises:
            UnavailableError: The model is not loaded, or there is no room for the request.
            HTTPException: The request is invalid, or its client has disconnected.
        """
        served, headers = self._engine.require_loaded(), dict(scope["headers"])
        deadline = self._deadline(headers)
        self.require_room(1, deadline)
        is_detailed = bool(query) and _asks_for_confidences(query)
        body = await read_json(headers, receive)
        deadline.require_time()
        rows = _quick_rows(served, body, is_batch=is_batch)
        if rows is None:
            lost = scope.get(LOST) or asyncio.Future()
            rows = await self._slow_rows(served, body, deadline, lost, is_batch=is_batch)
        else:
            self.require_room(len(rows), deadline)
        return Admitted(served, [*map(Detailed, rows)] if is_detailed else rows, deadline)

    def _deadline(self, headers: Mapping[bytes, bytes]) -> Deadline:
        timeout_s = self.config.max_wait_s
        if (given := headers.get(TIMEOUT_HEADER)) is not None:
            with suppress(ValueError):
                asked_s = float(given)
                if asked_s > 0:  # which NaN is not
                    timeout_s = min(timeout_s, asked_s)
                    return Deadline(timeout_s, monotonic() + timeout_s)
            message = "the value must be a number of seconds > 0"
            problem = {"type": "timeout", "loc": (), "msg": message}
            raise InvalidError([problem], part=("header", "X-Request-Timeout"))
        return Deadline(timeout_s, monotonic() + timeout_s)

    async def _slow_rows(
        self,
        served: Served,
        body: bytes,
        deadline: Deadline,
        lost: "asyncio.Future[None]",
        *,
        is_batch: bool,
    ) -> list[Values]:
        """Return the rows of a body, which take turns with those of other bodies."""
        rows, found = served.schema.rows(body, is_batch=is_batch), []
        seconds = 0.0

        def read() -> Values | None:
            nonlocal seconds
            if lost.done():
                raise HTTPException(CLIENT_GONE, "the client has disconnected")
            deadline.require_time()
            started_at = monotonic()
            try:
                return next(rows, None)
            finally:
                seconds += monotonic() - started_at

        run = asyncio.get_running_loop().run_in_executor
        self.num_inside += 1
        try:
            while (row := await run(self._reader, read)) is not None:
                found.append(row)
                if not is_batch:
                    break
            self._seconds += seconds
            deadline.require_time()
            if is_batch:
                self.require_room(len(found) - 1, deadline)  # one of them is counted
            return found
        finally:
            self.num_inside -= 1


def _without_margin(seconds: float) -> float:
    return seconds - min(MARGIN * seconds + MARGIN_S, MAX_MARGIN * seconds)


def _quick_rows(served: Served, body: bytes, *, is_batch: bool) -> list[Values] | None:
    """Return the rows of a body, or `None` if that may take long."""
    schema, encoder = served.schema, served.schema.encoder
    if not encoder.row_is_slow:
        return [*schema.rows(body, is_batch=is_batch)]
    if is_batch or len(body) > SMALL_BYTES:
        return None
    [request] = schema.requests(body, is_batch=False)
    return [schema.row(request)] if encoder.is_small(request) else None


def _asks_for_confidences(query: bytes) -> bool:
    """Return what the query says, which may have other parameters too."""
    given = QueryParams(query).get(CONFIDENCES, "false").lower()
    if given not in ("true", "false"):
        problem = {"type": "bool_parsing", "loc": (), "msg": "the value must be true or false"}
        raise InvalidError([problem], part=("query", CONFIDENCES))
    return given == "true"


async def read_json(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Return the body of a request that says that it is JSON, as forms of other sites cannot.

    Raises:
        HTTPException: It is of another type, or its client has disconnected.
    """
    content_type = headers.get(b"content-type", b"")
    if content_type != JSON_TYPE and not JSON.fullmatch(content_type):
        message = "Content-Type must be application/json"
        raise InvalidError([{"type": "json_type", "loc": (), "msg": message}])
    message = await receive()
    chunks = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        chunks.append(message.get("body", b""))
    if message["type"] == "http.disconnect":
        raise HTTPException(CLIENT_GONE, "the client has disconnected")
    return b"".join(chunks)

"""Batches that form while the model is busy."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from starlette.exceptions import HTTPException

from .admission import Admission, Admitted
from .engine import MODEL_THREAD, Served
from .problems import CLIENT_GONE, UnavailableError

SHORT_S = 0.002
"""A request that should take less than this is answered in the event loop if there is no other: to
hand it to a thread, and the answers back, takes 0.1 ms more."""

Call = Callable[[Served, list[Any]], list[Any]]


class Waiting:
    """A request whose answers are awaited."""

    __slots__ = ("answers", "request", "started_at")

    def __init__(self, request: Admitted, answers: asyncio.Future[list[Any]]) -> None:
        self.request = request
        self.answers = answers
        self.started_at = 0.0
        """When its batch began."""

    def resolve(self, outcome: list[Any] | Exception) -> None:
        """Give the answers, or the reason why there are none, unless that was done before."""
        if self.answers.done():
            return
        if isinstance(outcome, Exception):
            self.answers.set_exception(outcome)
        else:
            self.answers.set_result(outcome)


class Batcher:
    """Calls a function with the inputs of all the requests that came while it was busy.

    There is no timer: an idle model answers at once, and the busier it is, the fuller its batches.
    A batch is of whole requests that one model has read. It is predicted in a thread, unless it is
    of one short request. Call all methods in one event loop.
    """

    def __init__(self, call: Call, admission: Admission) -> None:
        self._call = call
        self._admission = admission
        self._max_batch_size = admission.config.max_batch_size
        self._queue: deque[Waiting] = deque()
        self._batches: SimpleQueue[list[Waiting] | None] = SimpleQueue()
        self._is_busy = False
        self._started_at = 0.0

    def start(self) -> None:
        """Start the model's thread, which does not keep the process alive if a call hangs."""
        self._loop = asyncio.get_running_loop()
        Thread(target=self._work, name=MODEL_THREAD, daemon=True).start()

    def stop(self) -> None:
        """Let the thread end when it has done its batch."""
        self._batches.put(None)

    async def submit(self, request: Admitted, lost: "asyncio.Future[None]") -> list[Any]:
        """Return an answer for each row, or raise the error of the batch.

        Args:
            request: What to answer.
            lost: Done when the client has disconnected.

        Raises:
            UnavailableError: The request's deadline passed before the model was free.
            HTTPException: The client has disconnected.
        """
        queued_at, num_rows = monotonic(), len(request.rows)
        self._admission.num_inside += num_rows
        try:
            if self._is_short(num_rows):
                await asyncio.sleep(0)  # others may come in this round of the loop
            if self._is_short(num_rows):
                started_at, answers = monotonic(), self._answers(request.served, request.rows)
                self._admission.measure(num_rows, monotonic() - started_at)
            else:
                started_at, answers = await self._enqueued(request, lost)
        finally:
            self._admission.num_inside -= num_rows
        self._admission.telemetry.record_wait(queued_at, started_at, monotonic())
        return answers

    def _is_short(self, num_rows: int) -> bool:
        """Whether a request is the only one, and its batch should take less than `SHORT_S`."""
        is_alone = not self._is_busy and self._admission.num_inside == num_rows
        return is_alone and self._admission.expected_s(num_rows) < SHORT_S

    async def _enqueued(
        self, request: Admitted, lost: "asyncio.Future[None]"
    ) -> tuple[float, list[Any]]:
        """Return when the request's batch began, and its answers."""
        waiting = Waiting(request, self._loop.create_future())
        self._queue.append(waiting)
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._next)  # not now: others may come in this round of the loop
        drop = partial(self._drop, waiting)
        lost.add_done_callback(drop)
        try:
            answers = await waiting.answers
        finally:
            lost.remove_done_callback(drop)
        return waiting.started_at, answers

    def _drop(self, waiting: Waiting, lost: "asyncio.Future[None]") -> None:
        """Forget a request whose client has disconnected."""
        if not waiting.answers.done():
            waiting.resolve(HTTPException(CLIENT_GONE, "the client has disconnected"))
            with suppress(ValueError):  # it is in the model
                self._queue.remove(waiting)

    def _next(self) -> None:
        """Give the model its next batch, if requests wait."""
        batch = self._take()
        self._is_busy = bool(batch)
        if batch:
            self._started_at = monotonic()
            for waiting in batch:
                waiting.started_at = self._started_at
            self._batches.put(batch)

    def _take(self) -> list[Waiting]:
        """Return the oldest requests, without those that have waited too long."""
        batch: list[Waiting] = []
        room = self._max_batch_size
        while self._queue:
            served, rows, deadline = self._queue[0].request
            if batch and (len(rows) > room or served is not batch[0].request.served):
                break
            waiting = self._queue.popleft()
            try:
                deadline.require_time()
            except UnavailableError as error:
                waiting.resolve(error)
            if not waiting.answers.done():
                batch.append(waiting)
                room -= len(rows)
        return batch

    def _work(self) -> None:
        """Call the model for one batch after the other, in its thread."""
        while batch := self._batches.get():
            rows = [row for waiting in batch for row in waiting.request.rows]
            try:
                outcome: list[Any] | Exception = self._answers(batch[0].request.served, rows)
            except Exception as error:
                outcome = error
            with suppress(RuntimeError):  # the server has stopped before the batch was done
                self._loop.call_soon_threadsafe(self._finish, batch, outcome)

    def _answers(self, served: Served, rows: list[Any]) -> list[Any]:
        try:
            return self._call(served, rows)
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                raise
            # A panic in Rust must not end the thread, and a future cannot raise StopIteration.
            raise RuntimeError(repr(error)) from error

    def _finish(self, batch: list[Waiting], outcome: list[Any] | Exception) -> None:
        seconds = monotonic() - self._started_at
        self._next()  # first, so that the model is not idle while answers are sent
        if isinstance(outcome, Exception):
            for waiting in batch:
                waiting.resolve(outcome)
            return
        self._admission.measure(len(outcome), seconds)
        answers = iter(outcome)
        for waiting in batch:
            waiting.resolve(list(islice(answers, len(waiting.request.rows))))

"""Batches that form while the model is busy."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import repeat
from typing import Any, NamedTuple

from ..config import ServingConfig
from ..engine import Served
from ..problems import Reason, UnavailableError


class Item(NamedTuple):
    """An input that waits for its output."""

    input: Any
    served: Served
    """The model that has read the input, and predicts it."""
    output: asyncio.Future[Any]
    deadline: float
    """The time until which it may wait, on the event loop's clock."""


class Batcher:
    """Calls a function in a thread with all the inputs that came while it was busy.

    There is no timer: an idle model answers at once, and the busier it is, the fuller its batches.
    The inputs of a batch are of one served model.
    Call all methods in one event loop.
    """

    def __init__(self, config: ServingConfig) -> None:
        self.config = config
        self._waiting: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._num_in_call = 0

    @property
    def num_inside(self) -> int:
        """How many inputs wait, or are in the call."""
        return len(self._waiting) + self._num_in_call

    async def submit(self, served: Served, inputs: list[Any]) -> list[Any]:
        """Return an output for each input, or raise the error of a batch that one of them was in.

        Raises:
            UnavailableError: There is no room for all of them, or they have waited too long.
        """
        if len(self._waiting) + len(inputs) > self.config.max_queue_size:
            raise UnavailableError("too many inputs are waiting", Reason.queue_full)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.config.max_wait_s
        futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in inputs]
        self._waiting.extend(map(Item, inputs, repeat(served), futures, repeat(deadline)))
        self._arrived.set()
        try:
            return await asyncio.gather(*futures)
        except BaseException:  # also when cancelled, since the client has disconnected
            for future in futures:
                future.cancel()
            self._waiting = deque(item for item in self._waiting if not item.output.done())
            raise

    async def run(self, call: Callable[[Served, list[Any]], list[Any]], executor: Executor) -> None:
        """Process what is submitted until cancelled. An error of `call` fails its batch alone."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            if not (batch := self._take()):
                continue
            self._num_in_call = len(batch)
            try:
                inputs = [item.input for item in batch]
                outputs = await loop.run_in_executor(executor, call, batch[0].served, inputs)
                for item, output in list(zip(batch, outputs, strict=True)):
                    if not item.output.done():
                        item.output.set_result(output)
            except Exception as error:
                for item in batch:
                    if not item.output.done():
                        item.output.set_exception(error)
            self._num_in_call = 0

    def _take(self) -> list[Item]:
        """Return the oldest inputs, without those that have waited too long."""
        now, batch = asyncio.get_running_loop().time(), []
        while self._waiting and len(batch) < self.config.max_batch_size:
            if batch and self._waiting[0].served is not batch[0].served:
                break
            item = self._waiting.popleft()
            if item.deadline < now and not item.output.done():
                detail = f"the wait was longer than {self.config.max_wait_s:g} s"
                item.output.set_exception(UnavailableError(detail, Reason.deadline))
            if not item.output.done():
                batch.append(item)
        if not self._waiting:
            self._arrived.clear()
        return batch

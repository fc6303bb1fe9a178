"""Batches that form while the model is busy."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import repeat
from typing import Generic, NamedTuple, TypeVar

from ..engine import UnavailableError

Input = TypeVar("Input")
Output = TypeVar("Output")


class Item(NamedTuple, Generic[Input, Output]):
    """An input that waits for its output."""

    input: Input
    output: asyncio.Future[Output]
    deadline: float
    """When it is of no use any more, in the event loop's time."""


class Batcher(Generic[Input, Output]):
    """Calls a function in a thread with all the inputs that came while it was busy.

    There is no timer: an idle model answers at once, and the busier it is, the fuller its batches.
    All methods belong to one event loop.
    """

    def __init__(self, *, max_batch_size: int, max_queue_size: int, max_wait_s: float) -> None:
        self.max_batch_size = max_batch_size
        self.max_queue_size = max_queue_size
        self.max_wait_s = max_wait_s
        self._waiting: deque[Item[Input, Output]] = deque()
        self._arrived = asyncio.Event()
        self._num_in_call = 0

    @property
    def num_inside(self) -> int:
        """How many inputs wait, or are in the call."""
        return len(self._waiting) + self._num_in_call

    async def submit(self, inputs: list[Input]) -> list[Output]:
        """Return an output for each input, or the error of the batch that one of them was in.

        Raises:
            UnavailableError: There is not room for all of them, or they waited too long.
        """
        if len(self._waiting) + len(inputs) > self.max_queue_size:
            raise UnavailableError("too many inputs are waiting")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.max_wait_s
        futures: list[asyncio.Future[Output]] = [loop.create_future() for _ in inputs]
        self._waiting.extend(map(Item, inputs, futures, repeat(deadline)))
        self._arrived.set()
        try:
            return await asyncio.gather(*futures)
        except BaseException:  # without one of them the others are of no use
            for future in futures:
                future.cancel()
            self._drop_done()
            raise

    async def run(self, call: Callable[[list[Input]], list[Output]], executor: Executor) -> None:
        """Answer what is submitted until cancelled. An error of `call` goes to its batch alone."""
        while True:
            await self._arrived.wait()
            if batch := self._take():
                self._num_in_call = len(batch)
                await self._answer(batch, call, executor)
                self._num_in_call = 0

    def _take(self) -> list[Item[Input, Output]]:
        """Return the oldest inputs, without those that have waited too long."""
        now = asyncio.get_running_loop().time()
        for item in self._waiting:
            if item.deadline < now and not item.output.done():
                error = UnavailableError(f"the wait was longer than {self.max_wait_s:g} s")
                item.output.set_exception(error)
        self._drop_done()
        size = min(len(self._waiting), self.max_batch_size)
        batch = [self._waiting.popleft() for _ in range(size)]
        if not self._waiting:
            self._arrived.clear()
        return batch

    def _drop_done(self) -> None:
        """Forget the inputs that nobody waits for, such as those of a client that has gone."""
        self._waiting = deque(item for item in self._waiting if not item.output.done())

    @staticmethod
    async def _answer(
        batch: list[Item[Input, Output]],
        call: Callable[[list[Input]], list[Output]],
        executor: Executor,
    ) -> None:
        try:
            inputs = [item.input for item in batch]
            outputs = await asyncio.get_running_loop().run_in_executor(executor, call, inputs)
            answers = list(zip(batch, outputs, strict=True))
        except Exception as error:
            for item in batch:
                if not item.output.done():
                    item.output.set_exception(error)
        else:
            for item, output in answers:
                if not item.output.done():
                    item.output.set_result(output)

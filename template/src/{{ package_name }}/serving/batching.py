"""Batches that form while the model is busy."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

from .engine import UnavailableError

Input = TypeVar("Input")
Output = TypeVar("Output")


class Batcher(Generic[Input, Output]):
    """Calls a function in a thread with all the inputs that came while it was busy.

    There is no timer: an idle model answers at once, and the busier it is, the fuller its batches.
    All methods belong to one event loop.
    """

    def __init__(self, *, max_batch_size: int, max_queue_size: int) -> None:
        self.max_batch_size = max_batch_size
        self.max_queue_size = max_queue_size
        self._waiting: deque[tuple[Input, asyncio.Future[Output]]] = deque()
        self._arrived = asyncio.Event()

    async def submit(self, inputs: list[Input]) -> list[Output]:
        """Return an output for each input, or the error of the batch that one of them was in.

        Raises:
            UnavailableError: There is not room for all of them.
        """
        if len(self._waiting) + len(inputs) > self.max_queue_size:
            raise UnavailableError("too many inputs are waiting")
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Output]] = [loop.create_future() for _ in inputs]
        self._waiting.extend(zip(inputs, futures, strict=True))
        self._arrived.set()
        return await asyncio.gather(*futures)

    async def run(self, call: Callable[[list[Input]], list[Output]], executor: Executor) -> None:
        """Answer what is submitted until cancelled. An error of `call` goes to its batch alone."""
        while True:
            await self._arrived.wait()
            inputs, futures = self._take()
            if inputs:
                await self._answer(futures, inputs, call, executor)

    def _take(self) -> tuple[list[Input], list[asyncio.Future[Output]]]:
        """Return the oldest inputs, without those whose client has gone."""
        batch = []
        while self._waiting and len(batch) < self.max_batch_size:
            item = self._waiting.popleft()
            if not item[1].done():
                batch.append(item)
        if not self._waiting:
            self._arrived.clear()
        return [input for input, _ in batch], [future for _, future in batch]

    @staticmethod
    async def _answer(
        futures: list[asyncio.Future[Output]],
        inputs: list[Input],
        call: Callable[[list[Input]], list[Output]],
        executor: Executor,
    ) -> None:
        try:
            outputs = await asyncio.get_running_loop().run_in_executor(executor, call, inputs)
            answers = list(zip(futures, outputs, strict=True))
        except Exception as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        else:
            for future, output in answers:
                if not future.done():
                    future.set_result(output)

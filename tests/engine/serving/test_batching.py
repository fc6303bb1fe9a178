import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pytest
from toy_project.serving.config import ServingConfig
from toy_project.serving.engine import Served, UnavailableError
from toy_project.serving.fastapi.batching import Batcher


class Doubler:
    """Doubles numbers, a batch at a time, and not before it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go_on = Event()

    def __call__(self, served: Served, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        assert self.may_go_on.wait(timeout=10)
        if 13 in numbers:
            raise ValueError("13 cannot be doubled")
        return [2 * number for number in numbers]


def with_batcher(test: Callable[[Batcher, Doubler], Awaitable[None]]) -> None:
    """Run `test` beside a batcher of four at a time that queues eight."""

    async def body() -> None:
        doubler = Doubler()
        batcher = Batcher(ServingConfig(max_batch_size=4, max_queue_size=8))
        with ThreadPoolExecutor(1) as executor:
            running = asyncio.create_task(batcher.run(doubler, executor))
            try:
                await asyncio.wait_for(test(batcher, doubler), timeout=10)
            finally:
                doubler.may_go_on.set()
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running

    asyncio.run(body())


OLD, NEW = Served(None, None), Served(None, None)


def submit(batcher: Batcher, *numbers: int, served: Served = OLD) -> "asyncio.Task[list[int]]":
    return asyncio.create_task(batcher.submit(served, list(numbers)))


async def until_busy(doubler: Doubler) -> None:
    while not doubler.batches:
        await asyncio.sleep(0.001)


def test_what_comes_while_the_model_is_busy_is_one_batch():
    async def test(batcher, doubler):
        first = submit(batcher, 1)
        await until_busy(doubler)
        others = [submit(batcher, 2), submit(batcher, 3, 4), submit(batcher, 5, 6)]
        await asyncio.sleep(0)
        doubler.may_go_on.set()
        assert await asyncio.gather(first, *others) == [[2], [4], [6, 8], [10, 12]]
        assert doubler.batches == [[1], [2, 3, 4, 5], [6]]

    with_batcher(test)


def test_the_inputs_of_a_batch_are_of_one_model():
    async def test(batcher, doubler):
        first = submit(batcher, 1)
        await until_busy(doubler)
        others = [submit(batcher, 2), submit(batcher, 3, 4, served=NEW), submit(batcher, 5)]
        await asyncio.sleep(0)
        doubler.may_go_on.set()
        assert await asyncio.gather(first, *others) == [[2], [4], [6, 8], [10]]
        assert doubler.batches == [[1], [2], [3, 4], [5]]

    with_batcher(test)


def test_a_full_queue_refuses_a_request_as_a_whole_and_recovers():
    async def test(batcher, doubler):
        first = submit(batcher, 1)
        await until_busy(doubler)
        waiting = submit(batcher, *range(7))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="too many inputs are waiting"):
            await submit(batcher, 7, 8)
        last = submit(batcher, 9)
        doubler.may_go_on.set()
        answers = await asyncio.gather(first, waiting, last)
        assert answers == [[2], [0, 2, 4, 6, 8, 10, 12], [18]]
        assert await submit(batcher, *range(8)) == list(range(0, 16, 2))

    with_batcher(test)


def test_a_client_that_leaves_takes_no_one_along():
    async def test(batcher, doubler):
        in_the_model = submit(batcher, 1)
        await until_busy(doubler)
        leaving, staying = submit(batcher, 2), submit(batcher, 3)
        await asyncio.sleep(0)
        in_the_model.cancel()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert batcher.num_inside == 2
        doubler.may_go_on.set()
        assert await staying == [6]
        assert doubler.batches == [[1], [3]]

    with_batcher(test)


def test_an_error_reaches_its_batch_and_no_other():
    async def test(batcher, doubler):
        doubler.may_go_on.set()
        with pytest.raises(ValueError, match="13 cannot be doubled"):
            await submit(batcher, 12, 13)
        assert await submit(batcher, 14) == [28]

    with_batcher(test)

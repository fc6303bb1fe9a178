import asyncio
from collections.abc import Awaitable, Callable
from math import ceil
from threading import Event, current_thread
from time import monotonic
from typing import cast

import pytest
from starlette.exceptions import HTTPException
from toy_project.serving.admission import (
    MARGIN,
    MARGIN_S,
    MAX_MARGIN,
    Admission,
    Admitted,
    Deadline,
)
from toy_project.serving.batching import SHORT_S, Batcher
from toy_project.serving.config import ServingConfig
from toy_project.serving.engine import MODEL_THREAD, Engine, Served, UnavailableError
from toy_project.serving.source import Source


class Panic(BaseException):
    """What a library in Rust raises when it panics."""


class Doubler:
    """Doubles numbers, a batch at a time, and not before it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[str] = []
        self.may_go_on = Event()

    def __call__(self, served: Served, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        self.threads.append(current_thread().name)
        assert self.may_go_on.wait(timeout=10)
        if 13 in numbers:
            raise ValueError("13 cannot be doubled")
        if 77 in numbers:
            raise StopIteration
        if 99 in numbers:
            raise Panic
        return [2 * number for number in numbers]


class Submit:
    """Submits numbers to a batcher of four at a time, as a request of a client that stays."""

    def __init__(self, doubler: Doubler) -> None:
        config = ServingConfig(max_batch_size=4)
        engine = Engine(Source(lambda: pytest.fail("nothing is loaded")), config)
        self.admission = Admission(engine)
        self.batcher = Batcher(doubler, self.admission)

    def __call__(
        self,
        *numbers: int,
        served: object = "first",
        timeout_s: float = 10,
        lost: "asyncio.Future[None] | None" = None,
    ) -> "asyncio.Task[list[int]]":
        deadline = Deadline(timeout_s, monotonic() + timeout_s)
        request = Admitted(cast(Served, served), list(numbers), deadline)
        return asyncio.create_task(self.batcher.submit(request, lost or asyncio.Future()))


def with_batcher(test: Callable[[Submit, Doubler], Awaitable[None]]) -> None:
    """Run `test` beside a batcher."""

    async def body() -> None:
        doubler = Doubler()
        submit = Submit(doubler)
        submit.batcher.start()
        try:
            await asyncio.wait_for(test(submit, doubler), timeout=10)
            assert submit.admission.num_inside == 0
        finally:
            doubler.may_go_on.set()
            submit.batcher.stop()

    asyncio.run(body())


async def until_busy(doubler: Doubler) -> None:
    while not doubler.batches:
        await asyncio.sleep(0.001)


def test_what_comes_while_the_model_is_busy_is_one_batch_of_whole_requests():
    async def test(submit, doubler):
        first = submit(1)
        await until_busy(doubler)
        others = [submit(2), submit(3, 4), submit(5, 6)]
        await asyncio.sleep(0)
        assert submit.admission.num_inside == 6
        doubler.may_go_on.set()
        assert await asyncio.gather(first, *others) == [[2], [4], [6, 8], [10, 12]]
        assert doubler.batches == [[1], [2, 3, 4], [5, 6]]

    with_batcher(test)


def test_what_comes_at_once_to_an_idle_model_is_one_batch():
    async def test(submit, doubler):
        doubler.may_go_on.set()
        assert await asyncio.gather(submit(1), submit(2)) == [[2], [4]]
        assert doubler.batches == [[1, 2]]

    with_batcher(test)


def test_a_short_request_that_is_alone_needs_no_thread():
    async def test(submit, doubler):
        doubler.may_go_on.set()
        await submit(1)  # how long it takes is not known yet
        submit.admission.measure(num_inputs=1000, seconds=1000 * SHORT_S / 2)
        assert await submit(2) == [4]
        assert await submit(3, 4, 5) == [6, 8, 10]
        assert await asyncio.gather(submit(6), submit(7)) == [[12], [14]]
        *alone, together = doubler.batches
        assert alone == [[1], [2], [3, 4, 5]]
        assert sorted(together) == [6, 7]
        loop = current_thread().name
        assert doubler.threads == [MODEL_THREAD, loop, MODEL_THREAD, MODEL_THREAD]
        for number, error in ((13, ValueError), (99, RuntimeError)):
            with pytest.raises(error):
                await submit(number)
        assert doubler.threads[4:] == [loop, loop]

    with_batcher(test)


def test_a_short_request_waits_for_a_model_that_is_busy_for_one_who_has_left():
    async def test(submit, doubler):
        lost: asyncio.Future[None] = asyncio.Future()
        left = submit(1, lost=lost)
        await until_busy(doubler)
        lost.set_result(None)
        with pytest.raises(HTTPException):
            await left
        submit.admission.measure(num_inputs=1000, seconds=1000 * SHORT_S / 2)
        waiting = submit(2)
        await asyncio.sleep(0.05)
        assert doubler.batches == [[1]]
        doubler.may_go_on.set()
        assert await waiting == [4]
        assert doubler.threads == [MODEL_THREAD, MODEL_THREAD]

    with_batcher(test)


def test_a_batch_is_for_one_model():
    async def test(submit, doubler):
        doubler.may_go_on.set()
        await asyncio.gather(submit(1), submit(2, served="second"), submit(3, served="second"))
        assert doubler.batches == [[1], [2, 3]]

    with_batcher(test)


def test_a_client_that_leaves_takes_no_one_along():
    async def test(submit, doubler):
        lost: asyncio.Future[None] = asyncio.Future()
        in_the_model = submit(1, lost=lost)
        await until_busy(doubler)
        leaving, staying = submit(2, lost=lost), submit(3)
        await asyncio.sleep(0)
        lost.set_result(None)
        for client in (in_the_model, leaving):
            with pytest.raises(HTTPException, match="499: the client has disconnected"):
                await client
        assert submit.admission.num_inside == 1
        doubler.may_go_on.set()
        assert await staying == [6]
        assert doubler.batches == [[1], [3]]

    with_batcher(test)


def test_no_work_is_done_after_the_deadline():
    async def test(submit, doubler):
        first = submit(1)
        await until_busy(doubler)
        hurried, patient = submit(2, timeout_s=0.05), submit(3)
        await asyncio.sleep(0.1)
        doubler.may_go_on.set()
        with pytest.raises(UnavailableError, match=r"the wait was longer than 0\.05 s"):
            await hurried
        assert await asyncio.gather(first, patient) == [[2], [6]]
        assert doubler.batches == [[1], [3]]

    with_batcher(test)


def test_an_error_reaches_its_batch_and_no_other():
    async def test(submit, doubler):
        doubler.may_go_on.set()
        with pytest.raises(ValueError, match="13 cannot be doubled"):
            await submit(12, 13)
        for number, error in ((99, "Panic"), (77, "StopIteration")):
            with pytest.raises(RuntimeError, match=error):
                await submit(number)
        assert await submit(14) == [28]

    with_batcher(test)


def test_a_panic_while_the_first_model_is_loaded_is_an_error():
    def load():
        raise Panic

    engine = Engine(Source(load), ServingConfig())
    asyncio.run(asyncio.wait_for(engine.load(), timeout=10))
    assert repr(engine.error) == "RuntimeError('Panic()')"


def test_the_queue_is_as_long_as_the_deadline_at_the_measured_capacity():
    admission, deadline = Submit(Doubler()).admission, Deadline(10, monotonic() + 10)
    admission.measure(num_inputs=200, seconds=5)  # 40 a second
    admission.num_inside = int(40 * (10 - 10 * MARGIN - MARGIN_S)) - 10
    admission.require_room(1, deadline)
    admission.num_inside += 20
    with pytest.raises(UnavailableError, match="the wait may be longer than 10 s") as refused:
        admission.require_room(1, deadline)
    assert refused.value.headers == {"Retry-After": str(ceil(admission.num_inside / 40))}
    hurried = Deadline(0.2, monotonic() + 0.2)
    admission.num_inside = int(40 * 0.2 * (1 - MAX_MARGIN)) - 1
    admission.require_room(1, hurried)
    admission.num_inside += 2
    with pytest.raises(UnavailableError):
        admission.require_room(1, hurried)
    admission.num_inside = 0  # then it is tried, whatever was measured
    admission.require_room(1, Deadline(0.001, monotonic() + 0.001))

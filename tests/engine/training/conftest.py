"""A disk that has no room, for what is written in training."""

import resource
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

import pytest


@pytest.fixture
def no_room() -> Callable[[int], AbstractContextManager[None]]:
    """Return what makes a block in which no file becomes larger than so many bytes."""

    @contextmanager
    def limited(size: int) -> Generator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited

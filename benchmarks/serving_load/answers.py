"""Whether a server's answers are those of the bundle in PyTorch."""

import json
import math
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

TOLERANCE = 1e-4
BATCH_SIZE, CONNECTIONS = 64, 16


class Agreement(NamedTuple):
    """How the answers of a server differ from those of PyTorch."""

    num_rows: int
    num_others: int
    """Rows with another label, or a number that differs by more than 1e-4."""
    largest: float
    """Difference of a number, relative where it is above 1."""


def agreement(url: str, requests: Iterator[Mapping[str, Any]], model: Any) -> Agreement:
    """Return how the server and a `serving_rivals.model.Model` differ on the requests."""
    num_rows = num_others = 0
    largest = 0.0
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        while batch := list(islice(requests, BATCH_SIZE)):
            answers = threads.map(lambda request: _ask(url, request), batch)
            expected = model.predict([model.encode(request) for request in batch])
            for answer, wanted in zip(answers, expected, strict=True):
                difference = max(_differences(answer, wanted))
                num_rows += 1
                num_others += difference > TOLERANCE
                largest = max(largest, difference)
    return Agreement(num_rows, num_others, largest)


def _ask(url: str, body: Mapping[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body, default=str).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def _differences(answer: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[float]:
    """Yield the difference of each field: of numbers, or infinity for what is not the same."""
    for name, value in wanted.items():
        if isinstance(value, Mapping):
            yield from _differences(answer[name], value)
        elif isinstance(value, float):
            yield abs(answer[name] - value) / max(abs(value), 1)
        else:
            yield 0.0 if answer[name] == value else math.inf

"""The requests of a benchmark: texts of 8 to 64 words, or the test rows of other data."""

import base64
import json
import random
from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

TEST_ROWS = Path("data/processed/test.parquet")
NUM_REQUESTS = 1000


def sample(package: str, encoder: Any) -> list[Mapping[str, Any]]:
    """Return up to 1,000 requests; texts are made of the words of Python's documentation."""
    if "text" not in encoder.fields():
        return list(islice(of_test_rows(package, encoder), NUM_REQUESTS))
    words, choose = " ".join(topics.values()).split(), random.Random(0)
    texts = (choose.choices(words, k=choose.randint(8, 64)) for _ in range(NUM_REQUESTS))
    return [{"text": " ".join(text)} for text in texts]


def of_test_rows(package: str, encoder: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a request for each row of the test split."""
    for row in import_module(f"{package}.data.rows").Rows(TEST_ROWS):
        yield {
            name: {column: row.values[column] for column in field.type}
            if isinstance(field.type, Mapping)
            else _jsonable(row.values[name])
            for name, field in encoder.fields().items()
            if isinstance(field.type, Mapping) or name in row.values
        }


def to_json(request: Any) -> str:
    """Return a request as one line; dates are in ISO 8601."""
    return json.dumps(request, default=str)


def _jsonable(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value

"""What a client sends and gets. Another kind of input changes this file and nothing else here."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from .config import ServingConfig

STRICT = ConfigDict(extra="forbid", strict=True)
MAX_BYTES_PER_CHARACTER = 6
"""Of JSON in which each character is written as an escape."""
MAX_ERRORS, MAX_ERROR_CHARACTERS = 10, 100
"""Of a 422: a bad request of any size gets a small answer."""


class Health(BaseModel):
    """Whether the process works, with or without a model."""

    status: str = "healthy"
    model_loaded: bool


class PredictResponse(BaseModel):
    """A label for one input."""

    prediction: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    """The probability that the model gives to the label."""
    model_version: str
    """The version in the registry; of a bundle on disk, a hash of its weights."""


class BatchResponse(BaseModel):
    """A label for each input, in their order."""

    predictions: list[PredictResponse]


class RequestModels(NamedTuple):
    """The classes of the requests. Each has a method `rows`: the inputs, as the model takes them.

    They are made when the limits are known, so a type checker can't name them.
    """

    one: Any
    batch: Any


def request_models(config: ServingConfig) -> RequestModels:
    """Return the requests that predict, with the limits of `config`."""

    class TextRequest(BaseModel):
        model_config = STRICT
        text: Annotated[str, Field(min_length=1, max_length=config.max_text_length, pattern=r"\S")]

        def rows(self) -> list[str]:
            return [self.text]

    class BatchRequest(BaseModel):
        model_config = STRICT
        inputs: Annotated[list[TextRequest], Field(min_length=1, max_length=config.max_batch_size)]

        def rows(self) -> list[str]:
            return [request.text for request in self.inputs]

    return RequestModels(TextRequest, BatchRequest)


def max_body_bytes(config: ServingConfig) -> int:
    """Return the size of the largest request that can be valid."""
    return config.max_batch_size * (MAX_BYTES_PER_CHARACTER * config.max_text_length + 64)


def error_body(problems: Sequence[Any]) -> dict[str, Any]:
    """Return what is wrong and where, without the input; `problems` are pydantic's errors."""
    return {
        "detail": [
            {
                "type": problem["type"],
                "loc": [part if isinstance(part, int) else _short(part) for part in problem["loc"]],
                "msg": _short(problem["msg"]),
            }
            for problem in problems[:MAX_ERRORS]
        ]
    }


def _short(text: str) -> str:
    return text[:MAX_ERROR_CHARACTERS]

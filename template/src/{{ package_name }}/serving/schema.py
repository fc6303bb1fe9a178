"""What a client sends and gets: what the encoder reads and what the objective predicts."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..data import encoder
from ..data.encoder import encoder_class
from ..objectives.base import objective_class
from .config import ServeConfig, ServingConfig

STRICT = ConfigDict(extra="forbid", strict=True)
MAX_BYTES_PER_CHARACTER = 6
"""Of JSON in which each character is written as an escape."""
MAX_ERRORS, MAX_ERROR_CHARACTERS = 10, 100
"""Of a 422: a bad request of any size gets a small answer."""


class Health(BaseModel):
    """Whether the process works, with or without a model."""

    status: str = "healthy"
    model_loaded: bool


class InputRequest(BaseModel):
    """One input. Its fields are those that the encoder reads."""

    model_config = STRICT

    def rows(self) -> list[dict[str, Any]]:
        """Return the input as the encoder takes it."""
        return [self.model_dump()]


class InputsRequest(BaseModel):
    """Several inputs."""

    model_config = STRICT
    inputs: list[Any]

    def rows(self) -> list[dict[str, Any]]:
        """Return the inputs as the encoder takes them."""
        return [request.model_dump() for request in self.inputs]


class Schema(NamedTuple):
    """The classes of requests and responses, which a type checker can't name: they are made."""

    request: Any
    batch_request: Any
    response: Any
    batch_response: Any


def schema_of(config: ServeConfig) -> Schema:
    """Return the classes for the encoder and the objective, with the server's limits."""
    limits = config.serving
    inputs = encoder_class(config.data.encoder["name"])
    objective = objective_class(config.objective["name"])
    fields: dict[str, Any] = {
        name: (field.type, Field(**_limited(field, limits.max_text_length)))
        for name, field in inputs.fields().items()
    }
    request: Any = create_model("PredictRequest", __base__=InputRequest, **fields)
    several: Any = Field(min_length=1, max_length=limits.max_batch_size)
    batch = create_model("BatchRequest", __base__=InputsRequest, inputs=(list[request], several))
    predicted: dict[str, Any] = {
        name: (kind, ...) for name, kind in get_type_hints(objective.prediction).items()
    }
    response: Any = create_model("PredictResponse", **predicted, model_version=(str, ...))
    batch_response = create_model("BatchResponse", predictions=(list[response], ...))
    return Schema(request, batch, response, batch_response)


def _limited(field: encoder.Field, max_text_length: int) -> dict[str, Any]:
    length = {"max_length": max_text_length} if field.type is str else {}
    return {**length, **field.limits}


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

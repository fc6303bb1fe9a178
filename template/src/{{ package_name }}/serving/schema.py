"""The bodies of requests and responses: what the encoder reads and what the objective predicts."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..data.encoder import encoder_class
from ..objectives.base import objective_class
from .config import ServeConfig, ServingConfig

STRICT = ConfigDict(extra="forbid", strict=True)
MAX_BYTES_PER_CHARACTER = 6
"""Bytes of a character that JSON writes as an escape sequence."""
MAX_ERRORS, MAX_ERROR_CHARACTERS = 10, 100
"""Limits of a 422's body, which keep it small for a bad request of any size."""


class Health(BaseModel):
    """Whether the process works, and whether its model is loaded."""

    status: str = "healthy"
    model_loaded: bool


class Schema(NamedTuple):
    """Pydantic's models. They are created at run time, so a type checker cannot name them."""

    request: Any
    batch_request: Any
    """Its `inputs` are requests."""
    response: Any
    batch_response: Any


def schema_of(config: ServeConfig) -> Schema:
    """Return the models for the encoder and the objective, with the server's limits."""
    limits = config.serving
    encoder = encoder_class(config.data.encoder["name"])
    objective = objective_class(config.objective["name"])
    fields: dict[str, Any] = {}
    for name, field in encoder.fields(encoder).items():
        bounds: dict[str, Any] = {"max_length": limits.max_text_length} if field.type is str else {}
        fields[name] = (field.type, Field(**{**bounds, **field.limits}))
    request: Any = create_model("PredictRequest", __config__=STRICT, **fields)
    inputs: Any = (list[request], Field(min_length=1, max_length=limits.max_batch_size))
    predicted: dict[str, Any] = {
        name: (kind, ...) for name, kind in get_type_hints(objective.prediction).items()
    }
    response: Any = create_model("PredictResponse", **predicted, model_version=(str, ...))
    return Schema(
        request,
        create_model("BatchRequest", __config__=STRICT, inputs=inputs),
        response,
        create_model("BatchResponse", predictions=(list[response], ...)),
    )


def max_body_bytes(config: ServingConfig) -> int:
    """Return the size of the largest request that can be valid."""
    return config.max_batch_size * (MAX_BYTES_PER_CHARACTER * config.max_text_length + 64)


def error_body(errors: Sequence[Any]) -> dict[str, Any]:
    """Return the first of pydantic's errors: what is wrong and where, without the input."""
    return {
        "detail": [
            {
                "type": error["type"],
                "loc": [_short(part) for part in error["loc"]],
                "msg": _short(error["msg"]),
            }
            for error in errors[:MAX_ERRORS]
        ]
    }


def _short(part: int | str) -> int | str:
    return part if isinstance(part, int) else part[:MAX_ERROR_CHARACTERS]

"""The bodies of requests and responses: what the encoder reads and what the objective predicts."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..data.encoder import Field as RequestField
from ..data.encoder import encoder_class
from ..objectives.base import objective_class
from .config import ServeConfig, ServingConfig

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, val_json_bytes="base64")
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
    request: Any = request_model(
        "PredictRequest", encoder.fields(encoder), max_length=limits.max_text_length
    )
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


def request_model(name: str, fields: Mapping[str, RequestField], *, max_length: int) -> Any:
    """Return the model of an object; strings without a limit of their own get `max_length`."""
    members: dict[str, Any] = {}
    for number, (alias, field) in enumerate(fields.items()):
        kind = _annotation(alias, field, max_length)
        # A column may have a name that pydantic keeps for itself, hence the alias.
        if field.required:
            members[f"field_{number}"] = (kind, Field(alias=alias))
        else:
            members[f"field_{number}"] = (kind | None, Field(alias=alias, default=None))
    return create_model(name, __config__=STRICT, **members)


def _annotation(name: str, field: RequestField, max_length: int) -> Any:
    """Return the type of a field with its limits, for pydantic."""
    kind: Any = field.type
    limits: dict[str, Any] = {}
    if isinstance(kind, Mapping):
        kind = request_model(name.title(), kind, max_length=max_length)
    elif isinstance(kind, list):
        item: Any = _annotation(name, kind[0], max_length)
        kind = list[item]
        limits["fail_fast"] = True  # an error for each bad item would take much memory
    elif kind is str:
        limits["max_length"] = max_length
    elif kind is bytes:
        limits["json_schema_extra"] = {"contentEncoding": "base64"}
    return Annotated[kind, Field(**{**limits, **field.limits})]


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

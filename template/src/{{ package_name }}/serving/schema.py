"""The bodies of requests and responses, for the encoder and the objective of a bundle."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from starlette.exceptions import HTTPException

from ..data.encoder import Field as RequestField
from ..data.rows import Values
from .config import ServingConfig

if TYPE_CHECKING:
    from ..data.spec import DataSpec

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, val_json_bytes="base64")
MAX_ERRORS, MAX_ERROR_CHARACTERS = 10, 100
"""Limits of a 422's body, which keep it small for a bad request of any size."""
MAX_LISTED = 1000
"""More errors than these are counted only: to list a million takes seconds."""


class InvalidError(HTTPException):
    """A request cannot be predicted: a 422 with pydantic's errors, without the input."""

    def __init__(self, errors: Sequence[Any]) -> None:
        super().__init__(422)
        self.detail: Any = [
            {
                "type": error["type"],
                "loc": ["body", *map(_short, error["loc"])],
                "msg": _short(error["msg"]),
            }
            for error in errors[:MAX_ERRORS]
        ]

    @classmethod
    def of(cls, kind: str, message: str, place: Sequence[int | str] = ()) -> Self:
        """Return the error of an input, or of the whole body."""
        return cls([{"type": kind, "loc": place, "msg": message}])


class Health(BaseModel):
    """Whether the process works, and whether its model is loaded."""

    status: str = "healthy"
    model_loaded: bool


class Schema:
    """Pydantic's models. They are created at run time, so a type checker cannot name them."""

    def __init__(self, spec: "DataSpec", config: ServingConfig) -> None:
        """Create the models for the encoder and the objective, with the server's limits."""
        self.encoder = spec.encoder
        fields, hints = spec.encoder.fields(), get_type_hints(spec.objective.prediction)
        request: Any = request_model("PredictRequest", fields, max_length=config.max_text_length)
        inputs: Any = (list[request], Field(min_length=1, max_length=config.max_batch_size))
        predicted: dict[str, Any] = {name: (kind, ...) for name, kind in hints.items()}
        response: Any = create_model("PredictResponse", **predicted, model_version=(str, ...))
        answers: Any = (list[response], ...)
        self.request: Any = request
        self.batch_request: Any = create_model("BatchRequest", __config__=STRICT, inputs=inputs)
        self.response: Any = response
        self.batch_response: Any = create_model("BatchResponse", predictions=answers)

    def rows(self, body: bytes, *, is_batch: bool) -> list[Values]:
        """Return the row of each input in a request's body.

        Raises:
            InvalidError: The body is no JSON, or an input does not fit.
        """
        try:
            if is_batch:
                inputs = self.batch_request.model_validate_json(body).inputs
            else:
                inputs = [self.request.model_validate_json(body)]
        except ValidationError as error:
            if (number := error.error_count()) > MAX_LISTED:
                raise InvalidError.of("too_many_errors", f"there are {number:,}") from None
            raise InvalidError(error.errors(include_url=False, include_input=False)) from None
        rows = []
        for number, one in enumerate(inputs):
            try:
                rows.append(self.encoder.row(one.model_dump(by_alias=True)))
            except ValueError as error:
                place = ("inputs", number) if is_batch else ()
                raise InvalidError.of("value_error", str(error), place) from error
        return rows


def request_model(name: str, fields: Mapping[str, RequestField], *, max_length: int) -> Any:
    """Return the model of an object; strings without a limit of their own get `max_length`."""
    members: dict[str, Any] = {}
    for number, (alias, field) in enumerate(fields.items()):
        kind = _annotation(alias, field, max_length)
        # A column may have a name that pydantic keeps for itself, hence the alias.
        kind, default = (kind, ...) if field.required else (kind | None, None)
        members[f"field_{number}"] = (kind, Field(default, alias=alias))
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


def _short(part: int | str) -> int | str:
    return part if isinstance(part, int) else part[:MAX_ERROR_CHARACTERS]

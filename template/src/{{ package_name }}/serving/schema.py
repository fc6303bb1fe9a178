"""The bodies of requests and responses, for the encoder and the objective of a bundle."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from ..data.encoder import Field as RequestField
from ..data.rows import Values
from .config import ServingConfig
from .problems import InvalidError

if TYPE_CHECKING:
    from ..data.spec import DataSpec

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, val_json_bytes="base64")
MAX_ERRORS = 1000
"""More errors of a request than this are only counted, since listing a million takes seconds."""


class Health(BaseModel):
    """Whether the process works, and whether its model is loaded."""

    status: str = "healthy"
    model_loaded: bool


class Schema:
    """Pydantic's models. They are created at run time, so a type checker cannot name them."""

    def __init__(self, spec: "DataSpec", config: ServingConfig) -> None:
        """Create the models for the encoder and the objective, with the server's limits."""
        self.encoder = spec.encoder
        fields, objective = spec.encoder.fields(), spec.objective
        length = config.max_text_length
        self.request: Any = request_model("PredictRequest", fields, max_length=length)
        inputs: Any = (list[self.request], Field(min_length=1, max_length=config.max_batch_size))
        self.batch_request: Any = create_model("BatchRequest", __config__=STRICT, inputs=inputs)
        hints = get_type_hints(objective.detailed_prediction or objective.prediction)
        always, optional = get_type_hints(objective.prediction), Field(default_factory=dict)
        predicted: dict[str, Any] = {
            name: (kind, ... if name in always else optional) for name, kind in hints.items()
        }
        self.response: Any = create_model("PredictResponse", **predicted, model_version=(str, ...))
        answers: Any = (list[self.response], ...)
        self.batch_response: Any = create_model("BatchResponse", predictions=answers)
        # Their core functions take a microsecond; methods of the models of the same effect, four.
        self._one, self._batch = TypeAdapter(self.request), TypeAdapter(self.batch_request)

    def rows(self, body: bytes, *, is_batch: bool) -> Iterator[Values]:
        """Yield the row of each input in a request's body.

        Raises:
            InvalidError: The body is no JSON, or an input does not fit.
        """
        for number, request in enumerate(self.requests(body, is_batch=is_batch)):
            yield self.row(request, ("inputs", number) if is_batch else ())

    def requests(self, body: bytes, *, is_batch: bool) -> list[Any]:
        """Return the inputs in a request's body, as it has them.

        Raises:
            InvalidError: The body is no JSON, or an input has not the fields of the encoder.
        """
        adapter = self._batch if is_batch else self._one
        try:
            request = adapter.validator.validate_json(body)
        except ValidationError as error:
            if (count := error.error_count()) > MAX_ERRORS:
                raise InvalidError([], count=count) from None
            raise InvalidError(error.errors(include_url=False, include_input=False)) from None
        document = adapter.serializer.to_python(request, by_alias=True)
        return document["inputs"] if is_batch else [document]

    def row(self, request: Any, place: tuple[str | int, ...] = ()) -> Values:
        """Return the row of an input, which is at that place of its request.

        Raises:
            InvalidError: The encoder cannot read it.
        """
        try:
            return self.encoder.row(request)
        except ValueError as error:
            problem = {"type": "value_error", "loc": place, "msg": str(error)}
            raise InvalidError([problem]) from error


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

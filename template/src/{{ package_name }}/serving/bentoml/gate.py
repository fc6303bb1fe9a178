"""Middleware that validates requests before BentoML handles them."""

import json
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..config import ServingConfig
from ..engine import Engine, UnavailableError
from ..schema import Schema, error_body, max_body_bytes


class Kind(NamedTuple):
    """One kind of prediction request."""

    path: str
    model: TypeAdapter[Any]


class Gate:
    """ASGI middleware that passes a prediction request on if it is valid and the queue has room.

    It stores the request's inputs in `request.state.rows`, so that the body is parsed once.
    """

    def __init__(self, app: ASGIApp, engine: Engine, config: ServingConfig, schema: Schema) -> None:
        self.app = app
        self._engine, self._config = engine, config
        kinds = [
            Kind("/predict", TypeAdapter(schema.request)),
            Kind("/predict/batch", TypeAdapter(schema.batch_request)),
        ]
        self._kinds = {kind.path: kind for kind in kinds}
        self._max_body_bytes = max_body_bytes(config)
        self._max_inside = config.max_queue_size + config.max_batch_size
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        kind = self._kinds.get(scope["path"]) if is_post else None
        if kind is None:
            return await self.app(scope, receive, send)
        scope["route"] = kind  # for RequestMetrics: responses from here never reach a router
        request = Request(scope, receive)
        checked = await self._check(request, kind)
        if isinstance(checked, Response):
            return await checked(scope, receive, send)
        request.state.rows = checked
        self._inside += len(checked)
        try:
            return await self.app(scope, receive, send)
        finally:
            self._inside -= len(checked)

    async def _check(self, request: Request, kind: Kind) -> list[dict[str, Any]] | Response:
        """Return the inputs, or the error response."""
        try:
            body = _decode(await self._read(request), request.headers.get("Content-Type", ""))
            request_body = kind.model.validate_python(body, from_attributes=True)
            inputs = [request_body] if kind.path == "/predict" else request_body.inputs
            self._engine.require_loaded()
            self._engine.require_time(self._inside, self._config)
            if self._inside + len(inputs) > self._max_inside:
                raise UnavailableError("too many inputs are waiting")
        except ValidationError as error:
            return _invalid(error.errors(include_url=False, include_input=False))
        except HTTPException as error:
            return answer_error(error)
        except (ValueError, RecursionError) as error:
            place = (error.pos,) if isinstance(error, json.JSONDecodeError) else ()
            return _invalid([{"type": "json_invalid", "loc": place, "msg": "JSON decode error"}])
        except ClientDisconnect:
            return Response(status_code=400)
        return [one.model_dump(by_alias=True) for one in inputs]

    async def _read(self, request: Request) -> bytes:
        """Return the body, or stop reading when it is too large."""
        too_large = HTTPException(413, "Content Too Large")
        if int(request.headers.get("Content-Length", 0)) > self._max_body_bytes:
            raise too_large
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_body_bytes:
                raise too_large
        return bytes(body)


def _decode(body: bytes, content_type: str) -> Any:
    """Return the parsed JSON; for another type the body itself, which validation rejects."""
    media_type = content_type.partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    return json.loads(body) if is_json and body else body or None


def answer_error(error: HTTPException) -> JSONResponse:
    """Return the answer that every server gives to an invalid request."""
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _invalid(problems: list[Any]) -> JSONResponse:
    in_body = [{**problem, "loc": ("body", *problem["loc"])} for problem in problems]
    return JSONResponse(error_body(in_body), status_code=422)

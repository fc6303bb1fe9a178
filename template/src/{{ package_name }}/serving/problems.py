"""Error answers in the format of RFC 9457, `application/problem+json`. None echoes its request."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from itertools import accumulate
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

CLIENT_GONE = 499
"""The status, as in nginx, of a request whose client disconnected before the answer."""
MAX_LISTED, MAX_LIST_BYTES, MAX_PART_LENGTH, MAX_DETAIL_LENGTH = 10, 1200, 100, 300
"""Limits of the errors in an answer, which keep it small for a bad request of any size."""
MEDIA_TYPE = "application/problem+json"
MEMBERS = {"type": "string", "title": "string", "status": "integer", "detail": "string"}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457); a 422 has `errors`, as pydantic describes them.",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "properties": {name: {"type": kind} for name, kind in MEMBERS.items()},
                    "required": list(MEMBERS),
                }
            }
        },
    }
}
"""What an OpenAPI document says about errors."""
ABOUT_THE_BODY = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")


class Reason(StrEnum):
    """Why a request was refused: a label of the metrics."""

    body_too_large = "body_too_large"
    body_too_slow = "body_too_slow"
    deadline = "deadline"
    host = "host"
    invalid = "invalid"
    key = "key"
    not_loaded = "not_loaded"
    queue_full = "queue_full"
    stopping = "stopping"
    too_many_of_key = "too_many_of_key"


class RefusedError(HTTPException):
    """The server does not work on a request."""

    def __init__(
        self, status: int, detail: str, reason: Reason, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.reason = reason


class UnavailableError(RefusedError):
    """The server is temporarily unavailable: a 503 with `Retry-After`."""

    def __init__(
        self, detail: str, reason: Reason = Reason.not_loaded, *, retry_after_s: int = 1
    ) -> None:
        super().__init__(503, detail, reason, {"Retry-After": str(retry_after_s)})
        self.retry_after_s = retry_after_s


class InvalidError(RefusedError):
    """A request cannot be predicted: a 422 with pydantic's errors."""

    def __init__(
        self, errors: Sequence[Any], *, part: tuple[str, ...] = ("body",), count: int | None = None
    ) -> None:
        """List the first errors, in a part of the request; `count` is that of all, if not len()."""
        found = [_without_input(error, part) for error in errors[:MAX_LISTED]]
        sizes = accumulate(len(_to_json(one)) for one in found)
        self.errors = [one for one, size in zip(found, sizes, strict=True) if size < MAX_LIST_BYTES]
        count = count or len(errors)
        listed = "" if len(self.errors) == count else f"; {len(self.errors)} are listed"
        detail = f"the request has {count:,} error{'s' * (count != 1)}{listed}"
        super().__init__(422, detail, Reason.invalid)


class ProblemResponse(Response):
    """The answer to a request that failed; it notes the reason in the scope, for the metrics."""

    media_type = MEDIA_TYPE

    def __init__(self, error: HTTPException, /, **members: str) -> None:
        """Create the answer, with more members if another format needs them."""
        problem = {
            "type": "about:blank",  # the status says what kind of problem it is
            "title": _title(error.status_code),
            "status": error.status_code,
            "detail": error.detail[:MAX_DETAIL_LENGTH],
            **{name: member[:MAX_DETAIL_LENGTH] for name, member in members.items()},
        }
        if isinstance(error, InvalidError):
            problem["errors"] = error.errors
        super().__init__(_to_json(problem), error.status_code, error.headers)
        self.reason = error.reason if isinstance(error, RefusedError) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        scope["reason"] = self.reason
        await super().__call__(scope, receive, send)


async def answer(request: Request, error: Exception) -> Response:
    """Return the answer to an error, as an exception handler of a framework does."""
    if isinstance(error, HTTPException):
        return ProblemResponse(error)
    # A RequestValidationError, whose places begin with body, query, path or header.
    found = getattr(error, "errors", None)
    return ProblemResponse(InvalidError(found(), part=()) if found else HTTPException(500))


def as_problem(start: Message) -> list[Message] | None:
    """Return the messages of a whole answer in place of one that begins with `start`.

    That is for the errors that a framework answers itself; for all other answers, return `None`.
    """
    headers = start.get("headers", ())
    if start["status"] < 400 or (b"content-type", MEDIA_TYPE.encode()) in headers:
        return None
    problem = ProblemResponse(HTTPException(start["status"]))
    kept = [(name, value) for name, value in headers if name not in ABOUT_THE_BODY]
    return [
        {**start, "headers": [*kept, *problem.raw_headers]},
        {"type": "http.response.body", "body": problem.body},
    ]


def _without_input(error: Mapping[str, Any], part: tuple[str, ...]) -> dict[str, Any]:
    """Return an error of pydantic, without the name of a field that only the request has."""
    place = error["loc"][:-1] if error["type"] == "extra_forbidden" else error["loc"]
    place = [_short(one) if isinstance(one, str) else one for one in (*part, *place)]
    return {"type": error["type"], "loc": place, "msg": _short(error["msg"])}


def _short(text: str) -> str:
    return text[:MAX_PART_LENGTH]


def _title(status: int) -> str:
    return "Client Closed Request" if status == CLIENT_GONE else HTTPStatus(status).phrase


def _to_json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode(errors="replace")

"""The way of a prediction past FastAPI, which would take longer than all the rest but the model."""

import json
from types import SimpleNamespace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from ..admission import Admission
from ..batching import Batcher
from ..problems import ProblemResponse

ONE, BATCH = SimpleNamespace(path="/predict"), SimpleNamespace(path="/predict/batch")
ROUTES = {route.path: route for route in (ONE, BATCH)}
CONTENT_TYPE = (b"content-type", b"application/json")
to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class LeanPath:
    """ASGI app that answers `POST /predict` and `/predict/batch`, and passes the others on.

    The OpenAPI document that FastAPI makes of the same models describes its requests and answers.
    """

    def __init__(self, app: ASGIApp, admission: Admission, batcher: Batcher) -> None:
        self.app = app
        self._admission = admission
        self._batcher = batcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        route = ROUTES.get(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            return await self.app(scope, receive, send)
        scope["route"] = route  # where FastAPI would put it, for RequestTelemetry
        try:
            if scope["method"] != "POST":
                raise HTTPException(405, "Method Not Allowed", {"Allow": "POST"})
            query = scope["query_string"]
            answers = await self.answers(scope, receive, is_batch=route is BATCH, query=query)
        except HTTPException as error:
            return await ProblemResponse(error)(scope, receive, send)
        answer = {"predictions": answers} if route is BATCH else answers[0]
        body = to_json(answer).encode()
        headers = [CONTENT_TYPE, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        return await send({"type": "http.response.body", "body": body})

    async def answers(
        self, scope: Scope, receive: Receive, *, is_batch: bool, query: bytes = b""
    ) -> list[Any]:
        """Return the answer for each input of a request.

        Raises:
            HTTPException: There is none.
        """
        request = await self._admission.read(scope, receive, is_batch=is_batch, query=query)
        answers = await self._batcher.submit(request, receive)
        scope.get("answered", []).append((request.served, request.rows, answers))  # if observed
        return answers

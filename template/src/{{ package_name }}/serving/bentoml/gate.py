"""Middleware that reads requests before BentoML handles them."""

from types import SimpleNamespace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..admission import Admission
from ..problems import ProblemResponse

ROUTES = {path: SimpleNamespace(path=path) for path in ("/predict", "/predict/batch")}


class Gate:
    """ASGI middleware that passes a prediction request on if it is valid and the queue has room.

    It stores the request's rows in `request.state.rows`, each with the model that has read it.
    """

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self.app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        route = ROUTES.get(scope.get("path", ""))
        if route is None or scope.get("method") != "POST":
            return await self.app(scope, receive, send)
        scope["route"] = route  # for RequestTelemetry: responses from here never reach a router
        admission, is_batch = self._admission, route.path == "/predict/batch"
        try:
            query = scope["query_string"]
            served, rows, _ = await admission.read(scope, receive, is_batch=is_batch, query=query)
        except HTTPException as error:
            return await ProblemResponse(error)(scope, receive, send)
        Request(scope).state.rows = [(served, row) for row in rows]
        admission.num_inside += len(rows)
        try:
            return await self.app(scope, receive, send)
        finally:
            admission.num_inside -= len(rows)

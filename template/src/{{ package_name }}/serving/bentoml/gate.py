"""Middleware that reads requests before BentoML handles them."""

from types import SimpleNamespace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ..engine import Engine
from ..problems import ProblemResponse, Reason, UnavailableError

ROUTES = {path: SimpleNamespace(path=path) for path in ("/predict", "/predict/batch")}


class Gate:
    """ASGI middleware that passes a prediction request on if it is valid and the queue has room.

    It stores the request's rows in `request.state.rows`, each with the model that has read it.
    """

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self.app = app
        self._engine = engine
        self._max_inside = engine.config.max_queue_size + engine.config.max_batch_size
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        route = ROUTES.get(scope.get("path", ""))
        if route is None or scope.get("method") != "POST":
            return await self.app(scope, receive, send)
        scope["route"] = route  # for RequestMetrics: responses from here never reach a router
        request, is_batch = Request(scope, receive), route.path == "/predict/batch"
        try:
            ahead = self._inside
            served, rows = await self._engine.rows(request, is_batch=is_batch, num_ahead=ahead)
            if self._inside + len(rows) > self._max_inside:
                raise UnavailableError("too many inputs are waiting", Reason.queue_full)
        except HTTPException as error:
            return await ProblemResponse(error)(scope, receive, send)
        request.state.rows = [(served, row) for row in rows]
        self._inside += len(rows)
        try:
            return await self.app(scope, receive, send)
        finally:
            self._inside -= len(rows)

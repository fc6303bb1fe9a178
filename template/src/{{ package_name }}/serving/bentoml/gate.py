"""Middleware that reads requests before BentoML handles them."""

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..admission import Admission, Admitted
from ..problems import CLIENT_GONE, ProblemResponse, UnavailableError

ONE, BATCH = SimpleNamespace(path="/predict"), SimpleNamespace(path="/predict/batch")
ROUTES = {route.path: route for route in (ONE, BATCH)}


class Waiting:
    """A request in BentoML's queue, which may divide its rows among two batches."""

    def __init__(self, request: Admitted) -> None:
        self.request = request
        self.answers: list[Any] = []
        """Of its first rows, until all have one."""
        self.error: HTTPException | None = None
        """Why it gets no answers."""
        self.started_at = self.ended_at = 0.0
        """When its first batch began and its last one ended, on the clock of `monotonic`."""

    def is_awaited(self) -> bool:
        """Return whether its rows, which are next, are worth a prediction."""
        if not self.error and not self.started_at:
            try:
                self.request.deadline.require_time()
            except UnavailableError as error:
                self.error = error
        return not self.error

    def response(self, *, is_batch: bool) -> Response:
        """Return what the client gets."""
        if self.error:
            return ProblemResponse(self.error)
        return JSONResponse({"predictions": self.answers} if is_batch else self.answers[0])


class Gate:
    """ASGI middleware that passes a prediction request on if it is valid and the queue has room.

    It stores the request in `request.state.waiting`.
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
        admission = self._admission
        try:
            query = scope["query_string"]
            request = await admission.read(scope, receive, is_batch=route is BATCH, query=query)
        except HTTPException as error:
            return await ProblemResponse(error)(scope, receive, send)
        Request(scope).state.waiting = waiting = Waiting(request)
        queued_at, num_inside = monotonic(), len(request.rows)
        admission.num_inside += num_inside

        def leave(_: object = None) -> None:
            nonlocal num_inside
            admission.num_inside -= num_inside
            num_inside = 0
            if len(waiting.answers) < len(request.rows):
                waiting.error = HTTPException(CLIENT_GONE, "the client has disconnected")

        watch = asyncio.ensure_future(receive())  # until then, or until the answer is complete
        watch.add_done_callback(leave)
        try:
            await self.app(scope, receive, send)
        finally:
            leave()
        if not waiting.error:
            admission.telemetry.record_wait(queued_at, waiting.started_at, waiting.ended_at)
            scope.get("answered", []).append((request.served, request.rows, waiting.answers))
        return None

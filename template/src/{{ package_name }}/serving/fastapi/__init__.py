"""The FastAPI server, which batches requests in its own process."""

import asyncio
import gc
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from ...lookup import find_optional
from .. import page
from ..admission import Admission
from ..batching import Batcher
from ..engine import Engine
from ..guard import LOST, protect
from ..problems import DOCUMENTED, ProblemResponse, answer
from ..schema import Health, Schema
from ..server import run
from ..telemetry import RequestTelemetry

ABOUT = "Whether an answer with one label has the probabilities of others: of the 20 highest."
Confidences = Annotated[bool, Query(description=ABOUT)]
GC_THRESHOLD = 50_000
"""Objects between two garbage collections. With the default, 700, a server with a long queue spends
half of its time in collections, which find nothing: a thousand waiting requests are 50,000 objects.
"""
ONE, BATCH = SimpleNamespace(path="/predict"), SimpleNamespace(path="/predict/batch")
ROUTES = {route.path: route for route in (ONE, BATCH)}
CONTENT_TYPE = (b"content-type", b"application/json")
to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class App(FastAPI):
    """An app whose OpenAPI document describes the model that is served at that moment."""

    def openapi(self) -> dict[str, Any]:
        """Return the document; without the paths of predictions until a model is loaded."""
        served = self.state.engine.current
        predictions = _documentation(served.schema).routes if served else []
        routes = [*self.routes, *predictions]
        return get_openapi(title=self.title, version=self.version, routes=routes)


class MetricsResponse(Response):
    """Metrics in Prometheus's format."""

    media_type = CONTENT_TYPE_LATEST


def serve(engine: Engine) -> None:
    """Answer requests until SIGINT or SIGTERM."""
    docs = "documented at /docs" if engine.config.docs else "/docs is off (serving.docs=true)"
    run(create_app(engine), engine, note=docs)


def create_app(engine: Engine) -> ASGIApp:
    """Return the app; the model has a thread of its own as long as the app runs."""
    admission = Admission(engine)
    batcher = Batcher(engine.predict, admission)

    async def load() -> None:
        await engine.load()
        gc.collect()
        gc.freeze()  # else each request costs 25 µs more: collections go through all that is loaded
        gc.set_threshold(GC_THRESHOLD)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as tasks:
            loading = tasks.create_task(load())
            batcher.start()
            yield
            batcher.stop()
            engine.close()
            loading.cancel()

    docs = engine.config.docs
    api = App(
        title="Predictions",
        lifespan=lifespan,
        openapi_url="/openapi.json" if docs else None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: answer, RequestValidationError: answer},
    )
    api.state.engine = engine
    api.include_router(_routes(engine))
    lean = LeanPath(api, admission, batcher)
    api.router.routes += page.routes(engine)
    if routes := find_optional("routes", folder="deployment", name="v2"):
        api.router.routes += routes(engine, lean.answers)
    return RequestTelemetry(protect(engine.observe(lean), engine), engine.telemetry)


class LeanPath:
    """ASGI app that answers `POST /predict` and `/predict/batch`, and passes the others on.

    FastAPI would take longer than all the rest but the model. The OpenAPI document that it makes of
    the same models describes the requests and answers.
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
        content = {"predictions": answers} if route is BATCH else answers[0]
        body = to_json(content).encode()
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
        answers = await self._batcher.submit(request, scope.get(LOST) or asyncio.Future())
        scope.get("answered", []).append((request.served, request.rows, answers))  # if observed
        return answers


def _routes(engine: Engine) -> APIRouter:
    router = APIRouter(responses=DOCUMENTED)

    @router.get("/health")
    @router.head("/health", include_in_schema=False)
    async def health() -> Health:
        """Check that the process is alive."""
        return Health(model_loaded=engine.loaded)

    @router.get("/ready")
    @router.head("/ready", include_in_schema=False)
    async def ready() -> Health:
        """Check that the model is loaded; 503 until then, and while the server stops."""
        engine.require_ready()
        return Health(model_loaded=True)

    @router.get("/model")
    async def model() -> dict[str, Any]:
        """Return the version of the model, and where it comes from."""
        return engine.about()

    @router.post("/admin/reload")
    def reload() -> dict[str, Any]:
        """Serve the newest version of the model, also if another is pinned."""
        engine.reload()
        return engine.about()

    @router.post("/admin/rollback")
    def rollback() -> dict[str, Any]:
        """Serve the version that was served before, and pin it."""
        engine.rollback()
        return engine.about()

    @router.get("/metrics", response_class=MetricsResponse)
    async def metrics() -> Response:
        """Return the metrics of this process in Prometheus's format."""
        return MetricsResponse(generate_latest(engine.registry))

    return router


def _documentation(schema: Schema) -> APIRouter:
    """Return routes for the OpenAPI document alone; those of `_routes` answer."""
    router = APIRouter(responses=DOCUMENTED)

    @router.post("/predict", response_model=schema.response)
    async def predict_one(body: schema.request, confidences: Confidences = False) -> None:
        """Predict one input."""

    @router.post("/predict/batch", response_model=schema.batch_response)
    async def predict_batch(body: schema.batch_request, confidences: Confidences = False) -> None:
        """Predict several inputs."""

    return router

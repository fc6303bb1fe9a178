"""The FastAPI server, which batches requests in its own process."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ..engine import Engine
from ..guard import protect
from ..problems import CLIENT_GONE, answer
from ..schema import Health, Schema
from ..server import RequestMetrics, run
from .batching import Batcher


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
    batcher = Batcher(engine.config)

    async def work() -> None:
        with ThreadPoolExecutor(1, "model") as executor:
            await engine.load(executor)
            await batcher.run(engine.predict, executor)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work())
            yield
            working.cancel()

    docs = engine.config.docs
    app = App(
        title="Predictions",
        lifespan=lifespan,
        openapi_url="/openapi.json" if docs else None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: answer, RequestValidationError: answer},
    )
    app.state.engine = engine
    app.include_router(_routes(engine, batcher))
    return RequestMetrics(protect(app, engine.config), engine.registry)


def _routes(engine: Engine, batcher: Batcher) -> APIRouter:
    router = APIRouter()

    async def predict(request: Request, *, is_batch: bool) -> list[Any]:
        ahead = batcher.num_inside
        served, rows = await engine.rows(request, is_batch=is_batch, num_ahead=ahead)
        return await _while_connected(request, batcher.submit(served, rows))

    @router.post("/predict", include_in_schema=False)
    async def predict_one(request: Request) -> Response:
        [answer] = await predict(request, is_batch=False)
        return JSONResponse(answer)

    @router.post("/predict/batch", include_in_schema=False)
    async def predict_batch(request: Request) -> Response:
        return JSONResponse({"predictions": await predict(request, is_batch=True)})

    @router.get("/health")
    async def health() -> Health:
        """Check that the process is alive."""
        return Health(model_loaded=engine.loaded)

    @router.get("/ready")
    async def ready() -> Health:
        """Check that the model is loaded; 503 until then."""
        engine.require_loaded()
        return Health(model_loaded=True)

    @router.get("/model")
    async def model() -> dict[str, Any]:
        """Return the version of the model, and where it comes from."""
        return engine.about()

    @router.get("/metrics", response_class=MetricsResponse)
    async def metrics() -> Response:
        """Return the metrics of this process in Prometheus's format."""
        return MetricsResponse(generate_latest(engine.registry))

    return router


def _documentation(schema: Schema) -> APIRouter:
    """Return routes for the OpenAPI document alone; those of `_routes` answer."""
    router = APIRouter()

    @router.post("/predict", response_model=schema.response)
    async def predict_one(body: schema.request) -> None:
        """Predict one input."""

    @router.post("/predict/batch", response_model=schema.batch_response)
    async def predict_batch(body: schema.batch_request) -> None:
        """Predict several inputs."""

    return router


async def _while_connected(request: Request, work: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    """Return what `work` returns, or cancel it when the client disconnects."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(CLIENT_GONE, "the client has disconnected")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    """Return when the client has disconnected; the request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

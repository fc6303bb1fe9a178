"""The FastAPI server, which batches requests in its own process."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..config import ServingConfig
from ..engine import Engine
from ..schema import Health, Schema, error_body, max_body_bytes
from ..server import RequestMetrics, run
from .batching import Batcher

Answer = dict[str, Any]

CLIENT_GONE = 499
"""The status, as in nginx, of a request whose client disconnected before the answer."""


class MetricsResponse(Response):
    """Metrics in Prometheus's format."""

    media_type = CONTENT_TYPE_LATEST


def serve(engine: Engine, config: ServingConfig, schema: Schema) -> None:
    """Answer requests until SIGINT or SIGTERM."""
    run(create_app(engine, config, schema), engine, config, documented_at="/docs")


def create_app(engine: Engine, config: ServingConfig, schema: Schema) -> FastAPI:
    """Return the app; the model has a thread of its own as long as the app runs."""
    batcher = Batcher(config)

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

    app = FastAPI(title="Predictions", lifespan=lifespan, max_body_size=max_body_bytes(config))
    app.add_middleware(RequestMetrics, registry=engine.registry)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(400, _invalid)
    app.include_router(_routes(engine, batcher, schema))
    return app


def _routes(engine: Engine, batcher: Batcher, schema: Schema) -> APIRouter:
    router = APIRouter()

    async def predict(request: Request, inputs: list[Any]) -> list[Answer]:
        engine.require_loaded()
        engine.require_time(batcher.num_inside, batcher.config)
        rows = [one.model_dump(by_alias=True) for one in inputs]
        return await _while_connected(request, batcher.submit(rows))

    @router.post("/predict", response_model=schema.response)
    async def predict_one(request: Request, body: schema.request) -> Answer:
        """Predict one input."""
        [answer] = await predict(request, [body])
        return answer

    @router.post("/predict/batch", response_model=schema.batch_response)
    async def predict_batch(request: Request, body: schema.batch_request) -> dict[str, Any]:
        """Predict several inputs."""
        return {"predictions": await predict(request, body.inputs)}

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


async def _while_connected(
    request: Request, work: Coroutine[Any, Any, list[Answer]]
) -> list[Answer]:
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


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Answer 422, also to a body for which FastAPI answers 400: `json` cannot decode it."""
    problems = [{"type": "json_invalid", "loc": ("body",), "msg": "JSON decode error"}]
    if isinstance(error, RequestValidationError):
        problems = error.errors()
    return JSONResponse(error_body(problems), status_code=422)

"""The HTTP server: health at once, predictions as soon as the model is loaded."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect

from ..config import ServingConfig
from ..engine import RETRY_LATER, Engine, UnavailableError
from ..metrics import RequestMetrics
from ..schema import Health, Schema, error_body, max_body_bytes
from ..server import run
from .batching import Batcher

if TYPE_CHECKING:
    from ..predictor import Predictor

T = TypeVar("T")
Row = dict[str, Any]
Answer = dict[str, Any]

CLIENT_GONE = 499
"""What /metrics counts a request as whose client did not wait for the answer; nginx's number."""


class MetricsResponse(Response):
    """What Prometheus reads."""

    media_type = CONTENT_TYPE_LATEST


def serve(load: Callable[[], "Predictor"], config: ServingConfig, schema: Schema) -> None:
    """Answer requests until SIGINT or SIGTERM, and finish those that are being answered.

    Raises:
        ServingError: The address cannot be listened on.
        ProjectError: `load` raised it, and the server has stopped.
    """
    engine = Engine(load)
    run(create_app(engine, config, schema), engine, config, documented_at="/docs")


def create_app(engine: Engine, config: ServingConfig, schema: Schema) -> FastAPI:
    """Return the app; the engine has a thread of its own as long as it runs."""
    batcher = Batcher[Row, Answer](
        max_batch_size=config.max_batch_size,
        max_queue_size=config.max_queue_size,
        max_wait_s=config.max_wait_s,
    )

    async def work() -> None:
        with ThreadPoolExecutor(1, "model") as executor:
            await engine.load(executor)
            await batcher.run(engine.predict, executor)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        working = asyncio.create_task(work())
        yield
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working

    app = FastAPI(title="Predictions", lifespan=lifespan, max_body_size=max_body_bytes(config))
    app.add_middleware(RequestMetrics, metrics=engine.metrics)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(400, _undecodable)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.include_router(_prediction_routes(engine, batcher, config, schema))
    app.include_router(_status_routes(engine))
    return app


def _prediction_routes(
    engine: Engine, batcher: Batcher[Row, Answer], config: ServingConfig, schema: Schema
) -> APIRouter:
    router = APIRouter()

    async def predict(request: Request, rows: list[Row]) -> list[Answer]:
        engine.require_loaded()
        engine.require_time(batcher.num_inside, config)
        return await _while_connected(request, batcher.submit(rows))

    @router.post("/predict", response_model=schema.response)
    async def predict_one(request: Request, body: schema.request) -> Answer:
        """Predict one input."""
        [answer] = await predict(request, body.rows())
        return answer

    @router.post("/predict/batch", response_model=schema.batch_response)
    async def predict_batch(request: Request, body: schema.batch_request) -> dict[str, Any]:
        """Predict several inputs."""
        return {"predictions": await predict(request, body.rows())}

    return router


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, or cancel it where the client does not wait for that.

    Raises:
        ClientDisconnect: The client has gone.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    """Return when the client has gone; the request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _status_routes(engine: Engine) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    async def health() -> Health:
        """Say that the process works."""
        return Health(model_loaded=engine.loaded)

    @router.get("/ready")
    async def ready() -> Health:
        """Say that predictions are answered; 503 until then."""
        engine.require_loaded()
        return Health(model_loaded=True)

    @router.get("/model")
    async def model() -> dict[str, Any]:
        """Say which model answers, and where it comes from."""
        return engine.about()

    @router.get("/metrics", response_class=MetricsResponse)
    async def metrics() -> Response:
        """Return the figures of this process, for Prometheus."""
        return MetricsResponse(engine.metrics.render())

    return router


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=503, headers=RETRY_LATER)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse(error_body(error.errors()), status_code=422)


async def _undecodable(request: Request, error: Exception) -> JSONResponse:
    """Answer what FastAPI answers 400 for: a body that json gives up on without a place."""
    problem = {"type": "json_invalid", "loc": ("body",), "msg": "JSON decode error"}
    return JSONResponse(error_body([problem]), status_code=422)

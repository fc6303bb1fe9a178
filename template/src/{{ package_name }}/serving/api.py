"""The HTTP server: health at once, predictions as soon as the model is loaded."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from ..config import ServingConfig
from ..errors import ProjectError
from .batching import UnavailableError
from .engine import Engine
from .metrics import RequestMetrics
from .schema import max_body_bytes, prediction_routes

if TYPE_CHECKING:
    from .predictor import Predictor

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
SHUTDOWN_TIMEOUT_S = 30
MAX_ERRORS, MAX_ERROR_CHARACTERS = 10, 100
"""Of a 422: a bad request of any size gets a small answer."""


class ServingError(ProjectError):
    """The server cannot run as it was configured."""


class Health(BaseModel):
    """Whether the process works, with or without a model."""

    status: str = "healthy"
    model_loaded: bool


def create_app(engine: Engine, config: ServingConfig) -> FastAPI:
    """Return the app; the engine runs as long as it does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        running = asyncio.create_task(engine.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    app = FastAPI(title="Predictions", lifespan=lifespan, max_body_size=max_body_bytes(config))
    app.add_middleware(RequestMetrics, metrics=engine.metrics)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.include_router(prediction_routes(engine, config))

    @app.get("/health")
    async def health() -> Health:
        """Say that the process works."""
        return Health(model_loaded=engine.loaded)

    @app.get("/ready")
    async def ready() -> Health:
        """Say that predictions are answered; 503 until then."""
        return Health(model_loaded=bool(engine.predictor))

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """Say which model answers, and where it comes from."""
        predictor = engine.predictor
        about = {"model_version": predictor.version, "labels": predictor.bundle.spec.labels}
        return about | asdict(predictor.bundle.lineage)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return the figures of this process, for Prometheus."""
        return Response(engine.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return app


def serve(load: Callable[[], "Predictor"], config: ServingConfig) -> None:
    """Answer requests until SIGINT or SIGTERM, and finish those that are being answered.

    Raises:
        ServingError: The address cannot be listened on.
        ProjectError: `load` raised it, and the server has stopped.
    """
    listener = _listen(config)
    engine = Engine(load, config)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(engine, config),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        )
    )
    engine.on_error = lambda: setattr(server, "should_exit", True)
    log.info("serving on %s, documented at /docs", _url(listener))
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if engine.error:
        raise engine.error


def _listen(config: ServingConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # socket adds the address again
        place = f"{config.host}:{config.port}"
        raise ServingError(
            f"cannot listen on {place} ({reason}); set serving.host or serving.port"
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse({"detail": str(error)}, status_code=503, headers=headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Return what is wrong and where, without the input."""
    assert isinstance(error, RequestValidationError)
    detail = [
        {
            "type": problem["type"],
            "loc": [part if isinstance(part, int) else _short(part) for part in problem["loc"]],
            "msg": _short(problem["msg"]),
        }
        for problem in error.errors()[:MAX_ERRORS]
    ]
    return JSONResponse({"detail": detail}, status_code=422)


def _short(text: str) -> str:
    return text[:MAX_ERROR_CHARACTERS]

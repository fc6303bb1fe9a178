"""The FastAPI server, which batches requests in its own process."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ...lookup import find_optional
from .. import page
from ..admission import Admission
from ..batching import Batcher
from ..engine import Engine
from ..guard import protect
from ..problems import DOCUMENTED, answer
from ..schema import Health, Schema
from ..server import run
from ..telemetry import RequestTelemetry
from .lean import LeanPath

ABOUT = "Whether an answer with one label has the probabilities of others: of the 20 highest."
Confidences = Annotated[bool, Query(description=ABOUT)]
GC_THRESHOLD = 50_000
"""Objects between two garbage collections. With the default, 700, a server with a long queue spends
half of its time in collections, which find nothing: a thousand waiting requests are 50,000 objects.
"""


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


def _routes(engine: Engine) -> APIRouter:
    router = APIRouter(responses=DOCUMENTED)

    @router.get("/health")
    async def health() -> Health:
        """Check that the process is alive."""
        return Health(model_loaded=engine.loaded)

    @router.get("/ready")
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

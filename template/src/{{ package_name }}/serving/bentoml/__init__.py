"""The BentoML server: adaptive batching behind the routes and answers that every server has.

`Gate` reads requests and answers errors; BentoML batches the valid ones.
"""

import asyncio
import logging
import os
from functools import partial
from itertools import groupby
from operator import itemgetter
from time import perf_counter
from typing import Any

import bentoml
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import create_model
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from ...data.rows import Values
from ..admission import Admission
from ..engine import Engine, Served
from ..guard import KeyRing, protect
from ..problems import answer
from ..schema import Health
from ..server import run
from ..telemetry import NamedRoute, RequestTelemetry
from .gate import Gate

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

MAX_LATENCY_MS = 3_600_000
"""BentoML answers 503 when it expects a longer latency. It estimates that from the first batches,
which are slow after a cold start, so `max_queue_size` and `max_wait_s` are the limits instead."""


def serve(engine: Engine) -> None:
    """Answer requests until SIGINT or SIGTERM."""
    logging.getLogger("bentoml").setLevel(logging.WARNING)
    run(create_app(engine), engine, note="documented at /")


def create_app(engine: Engine) -> ASGIApp:
    """Return the app that a worker of `bentoml serve` would run."""
    return create_service(engine).to_asgi()


def create_service(engine: Engine, **options: Any) -> bentoml.Service[Any]:
    """Return the service; `options` are those of `bentoml.service`.

    Raises:
        ConfigError: The file of API keys cannot be used.
    """
    KeyRing(engine.config.security.api_keys_file)  # BentoML makes middleware when it is too late
    admission = Admission(engine)
    batched = partial(
        bentoml.api,
        batchable=engine.config.max_batch_size > 1,
        max_batch_size=max(engine.config.max_batch_size, 2),
        max_latency_ms=MAX_LATENCY_MS,
        input_spec=FromGate,
    )

    @bentoml.service(
        name="predictions",
        threads=1,  # for both methods, as the engine is not thread-safe
        envs=[{"name": "BENTOML_DO_NOT_TRACK", "value": "True"}],
        # BentoML's metrics are labelled by URL: clients could create time series without limit.
        metrics={"enabled": False},
        logging={"access": {"enabled": False}},
        **options,
    )
    @bentoml.asgi_app(_status_app(engine))
    class PredictionService:
        """Predictions of the model."""

        @bentoml.on_startup
        async def load(self) -> None:
            self.loading = asyncio.create_task(_load(engine, PredictionService.apis))

        async def __is_alive__(self) -> bool:
            return engine.error is None

        async def __is_ready__(self) -> bool:
            return engine.loaded and not engine.is_stopping

        @batched(route="/predict", output_spec=ToOne)
        def predict(self, rows: list[Any]) -> list[dict[str, Any]]:
            """Predict one input."""
            return _predict(engine, admission, rows)

        @batched(route="/predict/batch", output_spec=ToBatch)
        def predict_batch(self, rows: list[Any]) -> list[dict[str, Any]]:
            """Predict several inputs."""
            return _predict(engine, admission, rows)

    add_middleware: Any = PredictionService.add_asgi_middleware  # wrongly annotated in BentoML
    add_middleware(RequestTelemetry, telemetry=engine.telemetry)
    add_middleware(protect, config=engine.config)
    add_middleware(Gate, admission=admission)
    return PredictionService


class Rows(bentoml.IODescriptor):
    """The rows of a request, each with the model that has read it, which BentoML batches."""

    rows: list[Any]


class FromGate(bentoml.IODescriptor):
    """Takes the rows that `Gate` has read."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Rows:
        """Return the request's rows."""
        return Rows.model_construct(rows=request.state.rows)


class ToOne(bentoml.IODescriptor):
    """Writes the response to a request with one input."""

    @classmethod
    async def to_http_response(cls, obj: list[dict[str, Any]], serde: Any) -> Response:
        """Return the only answer of a batch."""
        [answer] = obj
        return JSONResponse(answer)


class ToBatch(bentoml.IODescriptor):
    """Writes the response to a request with several inputs."""

    @classmethod
    async def to_http_response(cls, obj: list[dict[str, Any]], serde: Any) -> Response:
        """Return all answers of a batch."""
        return JSONResponse({"predictions": obj})


def _predict(
    engine: Engine, admission: Admission, inputs: list[tuple[Served, Values]]
) -> list[dict[str, Any]]:
    """Return an answer for each row; those of one model are predicted together."""
    started, answers = perf_counter(), []
    for served, of_one in groupby(inputs, key=itemgetter(0)):
        answers += engine.predict(served, [row for _, row in of_one])
    admission.measure(len(answers), perf_counter() - started)
    return answers


async def _load(engine: Engine, apis: dict[str, Any]) -> None:
    """Load the model, and show its requests and responses in the documents that BentoML makes."""
    await engine.load()
    if engine.current:
        schema = engine.current.schema
        one, many = (schema.request, schema.response), (schema.batch_request, schema.batch_response)
        for name, (request, response) in (("predict", one), ("predict_batch", many)):
            api = apis[name]
            api.input_spec = create_model(request.__name__, __base__=(FromGate, request))
            api.output_spec = create_model(response.__name__, __base__=(api.output_spec, response))


def _status_app(engine: Engine) -> Starlette:
    async def health(request: Request) -> Response:
        return JSONResponse(Health(model_loaded=engine.loaded).model_dump())

    async def ready(request: Request) -> Response:
        engine.require_ready()
        return JSONResponse(Health(model_loaded=True).model_dump())

    async def model(request: Request) -> Response:
        return JSONResponse(engine.about())

    def reload(request: Request) -> Response:
        engine.reload()
        return JSONResponse(engine.about())

    def rollback(request: Request) -> Response:
        engine.rollback()
        return JSONResponse(engine.about())

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(engine.registry), media_type=CONTENT_TYPE_LATEST)

    gets, posts = (health, ready, model, metrics), (reload, rollback)
    return Starlette(
        routes=[
            *(NamedRoute(f"/{endpoint.__name__}", endpoint) for endpoint in gets),
            *(NamedRoute(f"/admin/{one.__name__}", one, methods=["POST"]) for one in posts),
        ],
        exception_handlers={HTTPException: answer},
    )

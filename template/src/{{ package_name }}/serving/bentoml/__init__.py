"""The BentoML server: adaptive batching behind the routes and answers that every server has.

`Gate` reads requests and answers errors; BentoML batches the valid ones. Metrics are of a process,
of which `bentoml serve` starts one, as `make serve` does.
"""

import asyncio
import logging
import os
from functools import partial
from itertools import groupby
from threading import current_thread
from time import monotonic
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
from .. import page
from ..admission import Admission
from ..engine import MODEL_THREAD, Engine
from ..guard import KeyRing, protect
from ..problems import answer
from ..schema import Health
from ..server import run
from ..telemetry import NamedRoute, RequestTelemetry
from .gate import Gate, Waiting

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

MAX_LATENCY_MS = 3_600_000
"""BentoML answers 503 when it expects a longer latency. It estimates that from the first batches,
which are slow after a cold start, so `max_queue_size` and `max_wait_s` are the limits instead."""
TIMEOUT_S = 60
"""BentoML answers 504 after that time, which is longer where requests may take longer."""

log = logging.getLogger(__name__)


def serve(engine: Engine) -> None:
    """Answer requests until SIGINT or SIGTERM."""
    logging.getLogger("bentoml").setLevel(logging.WARNING)
    docs = "documented at" if engine.config.docs else "serving.docs=true documents it at"
    run(create_app(engine), engine, note=f"{docs} /docs.json")


def create_app(engine: Engine) -> ASGIApp:
    """Return the service's app with the middleware around it.

    BentoML would put it inside of its timeout, where it would not notice that uvicorn cancels a
    request at the end of its shutdown.
    """
    admission = Admission(engine)
    app = Gate(_service(engine, admission).to_asgi(), admission)
    return RequestTelemetry(protect(engine.observe(app), engine), engine.telemetry)


def create_service(engine: Engine, **options: Any) -> bentoml.Service[Any]:
    """Return the service for `bentoml serve`; `options` are those of `bentoml.service`.

    Raises:
        ConfigError: The file of API keys cannot be used.
    """
    KeyRing(engine.config.security.api_keys_file)  # BentoML makes middleware when it is too late
    admission = Admission(engine)
    service = _service(engine, admission, **options)
    add_middleware: Any = service.add_asgi_middleware  # wrongly annotated in BentoML
    add_middleware(RequestTelemetry, telemetry=engine.telemetry)
    add_middleware(protect, engine=engine)
    add_middleware(engine.observe)
    add_middleware(Gate, admission=admission)
    return service


def _service(engine: Engine, admission: Admission, **options: Any) -> bentoml.Service[Any]:
    """Return the service behind a `Gate`."""
    config = engine.config
    engine.probes |= {"/livez", "/readyz"}
    batched = partial(
        bentoml.api,
        batchable=config.max_batch_size > 1,
        max_batch_size=max(config.max_batch_size, 2),
        max_latency_ms=MAX_LATENCY_MS,
        input_spec=FromGate,
    )

    @bentoml.service(
        name="predictions",
        threads=1,  # for both methods, as the engine is not thread-safe
        traffic={"timeout": max(TIMEOUT_S, config.body_timeout_s + 2 * config.max_wait_s)},
        envs=[{"name": "BENTOML_DO_NOT_TRACK", "value": "True"}],
        # BentoML's metrics are labelled by URL: clients could create time series without limit.
        metrics={"enabled": False},
        logging={"access": {"enabled": False}},
        **options,
    )
    @bentoml.asgi_app(_other_routes(engine))
    class PredictionService:
        """Predictions of the model."""

        @bentoml.on_startup
        async def load(self) -> None:
            self.loading = asyncio.create_task(_load(engine, PredictionService.apis))

        @bentoml.on_shutdown
        async def close(self) -> None:
            self.loading.cancel()
            engine.close()
            # Requests that are cancelled now have their answer, and need no traceback.
            logging.getLogger("bentoml").setLevel(logging.CRITICAL)

        async def __is_alive__(self) -> bool:
            return engine.error is None

        async def __is_ready__(self) -> bool:
            return engine.loaded and not engine.is_stopping

        @batched(route="/predict", output_spec=ToOne)
        def predict(self, rows: list[Any]) -> list[Waiting]:
            """Predict one input."""
            return _predict(engine, admission, rows)

        @batched(route="/predict/batch", output_spec=ToBatch)
        def predict_batch(self, rows: list[Any]) -> list[Waiting]:
            """Predict several inputs."""
            return _predict(engine, admission, rows)

    return PredictionService


class Rows(bentoml.IODescriptor):
    """The rows of a request, each with the request, which BentoML batches."""

    rows: list[Any]


class FromGate(bentoml.IODescriptor):
    """Takes the rows that `Gate` has read."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Rows:
        """Return the request's rows."""
        waiting: Waiting = request.state.waiting
        return Rows.model_construct(rows=[(waiting, row) for row in waiting.request.rows])


class ToOne(bentoml.IODescriptor):
    """Writes the response to a request with one input."""

    @classmethod
    async def to_http_response(cls, obj: list[Waiting], serde: Any) -> Response:
        """Return the only answer of a request."""
        return obj[0].response(is_batch=False)


class ToBatch(bentoml.IODescriptor):
    """Writes the response to a request with several inputs."""

    @classmethod
    async def to_http_response(cls, obj: list[Waiting], serde: Any) -> Response:
        """Return all answers of a request."""
        return obj[0].response(is_batch=True)


def _predict(
    engine: Engine, admission: Admission, inputs: list[tuple[Waiting, Values]]
) -> list[Waiting]:
    """Return the request of each row, with its answers; rows of one model are predicted together.

    No rows are predicted of a request whose client has disconnected, or whose time is up. If a
    prediction fails, the requests get an error that have rows in it.
    """
    current_thread().name = MODEL_THREAD  # for which the process waits at its end, but not longer
    awaited = [one for one in inputs if one[0].is_awaited()]
    for served, some in groupby(awaited, key=lambda one: one[0].request.served):
        of_one, started_at = [*some], monotonic()
        try:
            predictions = engine.predict(served, [row for _, row in of_one])
        except BaseException:  # as a panic in Rust: the server must go on
            log.exception("a batch failed")
            for waiting, _ in of_one:
                waiting.error = HTTPException(500)
            continue
        ended_at = monotonic()
        admission.measure(len(of_one), ended_at - started_at)
        for (waiting, _), prediction in zip(of_one, predictions, strict=True):
            waiting.answers.append(prediction)
            waiting.started_at = waiting.started_at or started_at
            waiting.ended_at = ended_at
    return [waiting for waiting, _ in inputs]


async def _load(engine: Engine, apis: dict[str, Any]) -> None:
    """Load the model, and show its requests and responses in the documents that BentoML makes.

    Those describe the model that was loaded first, also after another has taken its place.
    """
    await engine.load()
    if engine.current:
        schema = engine.current.schema
        one, many = (schema.request, schema.response), (schema.batch_request, schema.batch_response)
        for name, (request, response) in (("predict", one), ("predict_batch", many)):
            api = apis[name]
            api.input_spec = create_model(request.__name__, __base__=(FromGate, request))
            api.output_spec = create_model(response.__name__, __base__=(api.output_spec, response))


def _other_routes(engine: Engine) -> Starlette:
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

    async def hidden(request: Request) -> Response:
        raise HTTPException(404)

    gets, posts = (health, ready, model, metrics), (reload, rollback)
    return Starlette(
        routes=[
            *page.routes(engine),  # the first is in the place of BentoML's own page
            *([] if engine.config.docs else [NamedRoute("/docs.json", hidden)]),
            *(NamedRoute(f"/{endpoint.__name__}", endpoint) for endpoint in gets),
            *(NamedRoute(f"/admin/{one.__name__}", one, methods=["POST"]) for one in posts),
        ],
        exception_handlers={HTTPException: answer},
    )

"""ASGI middleware that offers answers to the prediction log, and takes the truth for them.

The metrics of the server also tell what the newest report on the log says.
"""

import json
import random
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..rules import typed
from ..serving.admission import read_json
from ..serving.config import ServeConfig
from ..serving.engine import Engine
from ..serving.problems import InvalidError, ProblemResponse, Reason, UnavailableError
from ..serving.telemetry import request_id
from .config import MonitoringConfig
from .log import SUMMARY, Answered, PredictionLog

ONE, FEEDBACK = "/predict", SimpleNamespace(path="/feedback")
ANSWERED = "answered"
"""The list in a scope to which an app adds what it has answered: the model, rows and answers."""
MAX_ID, MAX_LABEL = 200, 10_000
"""Characters of an id and of a label in JSON, at most."""


def observe(engine: Engine, config: ServeConfig) -> None:
    """Let the app of an engine be observed."""
    settings = typed("monitoring", MonitoringConfig, config.monitoring)
    engine.observe = partial(Observer, log=PredictionLog(settings, engine.registry))
    engine.registry.register(Reported(Path(settings.folder) / SUMMARY))


class Reported(Collector):
    """Metrics of the newest report, read when they are asked for; none if there is no report."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        try:
            summary = json.loads(self._file.read_text("utf-8"))
            drift = GaugeMetricFamily("drift_psi", "Of the newest report.", labels=["feature"])
            for name, psi in summary["psi"].items():
                drift.add_metric([name], float(psi))
            made = GaugeMetricFamily(
                "drift_report_timestamp_seconds", "When it was made.", labels=["model_version"]
            )
            made.add_metric([str(summary["model_version"])], float(summary["timestamp"]))
            number = float(summary["num_alerts"])
            alerts = GaugeMetricFamily("drift_alerts", "Past a threshold.", number)
        except Exception:  # there is none yet, or one of another release
            return
        yield from (drift, made, alerts)


class Observer:
    """Records answers under the id of their request, by which `POST /feedback` names them."""

    def __init__(self, app: ASGIApp, log: PredictionLog) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or take the truth."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return self.log.close()
        if scope["type"] == "http" and scope["path"] == FEEDBACK.path:
            scope["route"] = FEEDBACK  # for RequestTelemetry
            try:
                response = await self._feedback(scope, receive)
            except HTTPException as error:
                response = ProblemResponse(error)
            return await response(scope, receive, send)
        if random.random() >= self.log.config.sample_share:
            return await self.app(scope, receive, send)
        started_at, answered = time.perf_counter(), scope.setdefault(ANSWERED, [])
        await self.app(scope, receive, send)
        for served, rows, answers in answered:
            ids = map(f"{request_id.get()}/{{}}".format, count())
            if scope["path"] == ONE:
                ids = iter([request_id.get()])
            self._offer(ids, served, rows, answers, time.perf_counter() - started_at)
        return None

    def _offer(
        self, ids: Iterator[str], served: Any, rows: Any, answers: Any, latency_s: float
    ) -> None:
        now = round(time.time(), 3)
        for id_, row, answer in zip(ids, rows, answers, strict=False):
            record = {"id": id_, "time": now, "latency_s": round(latency_s, 6), **answer}
            self.log.offer(Answered(record, row, served.schema.encoder))

    async def _feedback(self, scope: Scope, receive: Receive) -> JSONResponse:
        if scope["method"] != "POST":
            raise HTTPException(405, "Method Not Allowed", {"Allow": "POST"})
        body = await read_json(dict(scope["headers"]), receive)
        try:
            given = json.loads(body)
            id_, label = given["id"], given["label"]
            is_good = isinstance(id_, str) and 0 < len(id_) <= MAX_ID and label is not None
            is_good &= len(given) == 2 and len(json.dumps(label, allow_nan=False)) <= MAX_LABEL
        except (KeyError, RecursionError, TypeError, ValueError):
            is_good = False
        if not is_good:
            message = 'must be {"id": "…", "label": …}, with the id of an answer'
            raise InvalidError([{"type": "feedback", "loc": (), "msg": message}])
        record = {"id": id_, "label": label, "time": round(time.time(), 3)}
        if not self.log.offer(record):
            raise UnavailableError("too much waits to be written", Reason.queue_full)
        return JSONResponse({"accepted": True}, 202)

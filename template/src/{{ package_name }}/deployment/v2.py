"""The Open Inference Protocol over REST, which is version 2 of KServe's and Triton's: `/v2/...`.

https://github.com/kserve/open-inference-protocol. A request becomes one of `POST /predict/batch`:
each field is a tensor with a value, or an array, for each row. Tensors are JSON, not binary.
"""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import reduce
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message

from ..data.encoder import Field as RequestField
from ..serving.engine import Engine
from ..serving.problems import InvalidError, ProblemResponse
from ..serving.telemetry import NamedRoute

MODEL = __name__.partition(".")[0]
DATATYPES = {float: "FP32", bool: "BOOL"}
"""Of the types of fields; all others are BYTES."""
BINARY = "inference-header-content-length"
"""The header of a request that has tensors after its JSON."""
OF_BODY = b"content-type", b"content-length"

Length = Annotated[int, Field(gt=0, lt=2**31)]
Answers = Sequence[Mapping[str, Any]]
Endpoint = Callable[[Request], Awaitable[Any]]


class Tensor(BaseModel):
    """A tensor of a request."""

    name: str
    datatype: str
    shape: Annotated[list[Length], Field(min_length=1)]
    data: list[Any]
    """Nested, or flat in row-major order."""


class Output(BaseModel):
    """A tensor to answer with."""

    name: str


class InferRequest(BaseModel):
    """A request to predict rows."""

    id: str = ""
    inputs: Annotated[list[Tensor], Field(min_length=1)]
    outputs: list[Output] = []
    """The tensors to answer with; all, if none is named."""


class Input(NamedTuple):
    """A field of `POST /predict` as a tensor."""

    path: Sequence[str]
    datatype: str
    shape: Sequence[int]
    """Of all rows; -1 is any number."""


def routes(engine: Engine, answers: Callable[..., Awaitable[Answers]]) -> list[Route]:
    """Return the routes; `answers` is that of a `LeanPath`."""

    async def predict(request: Request, rows: Sequence[Any]) -> Answers:
        """Return what `POST /predict/batch` would answer to the same client."""

        async def receive() -> Message:
            return {"type": "http.request", "body": json.dumps({"inputs": rows}).encode()}

        headers = [one for one in request.scope["headers"] if one[0] not in OF_BODY]
        headers.append((b"content-type", b"application/json"))
        return await answers({**request.scope, "headers": headers}, receive, is_batch=True)

    async def live(request: Request) -> Any:
        return {"live": True}

    async def ready(request: Request) -> Any:
        engine.require_ready()
        return {"ready": True}

    async def server(request: Request) -> Any:
        return {"name": MODEL, "version": engine.require_loaded().version, "extensions": []}

    async def model(request: Request) -> Any:
        served = engine.require_loaded()
        example = {**served.predictor.example._asdict(), "model_version": served.version}
        named = inputs(served.schema.encoder.fields()).items()
        return {
            "name": MODEL,
            "versions": [served.version],
            "platform": served.predictor.backend,
            "inputs": [_tensor(name, one.datatype, one.shape) for name, one in named],
            "outputs": [_tensor(one["name"], one["datatype"], [-1]) for one in outputs([example])],
        }

    async def infer(request: Request) -> Any:
        if BINARY in request.headers:
            raise HTTPException(422, "tensors must be JSON: tritonclient's binary_data=False")
        if refusal := engine.refusal():  # before the body is read
            raise refusal
        try:
            asked = InferRequest.model_validate_json(await request.body())
            known = inputs(engine.require_loaded().schema.encoder.fields())
            rows = requests(asked.inputs, known, max_rows=engine.config.max_batch_size)
        except ValidationError as error:
            raise InvalidError(error.errors(include_url=False, include_input=False)) from None
        except ValueError as error:
            problem = {"type": "tensor", "loc": ("inputs",), "msg": str(error)}
            raise InvalidError([problem]) from error
        found = await predict(request, rows)
        tensors = {one["name"]: one for one in outputs(found)}
        names = [one.name for one in asked.outputs] or [*tensors]
        if not tensors.keys() >= {*names}:
            raise HTTPException(422, f"the outputs are {', '.join(tensors)}")
        return {
            "model_name": MODEL,
            "model_version": found[0]["model_version"],
            "id": asked.id,
            "outputs": [tensors[name] for name in names],
        }

    probes = {"/v2/health/live": live, "/v2/health/ready": ready}
    engine.probes |= probes.keys()
    return [
        NamedRoute("/v2", _protocol(engine, server)),
        *(NamedRoute(path, _protocol(engine, probe)) for path, probe in probes.items()),
        *(
            NamedRoute(f"/v2/models/{{name}}{version}{end}", _protocol(engine, one), methods=[verb])
            for version in ("", "/versions/{version}")
            for end, one, verb in (
                ("", model, "GET"),
                ("/ready", ready, "GET"),
                ("/infer", infer, "POST"),
            )
        ),
    ]


def inputs(fields: Mapping[str, RequestField], path: Sequence[str] = ()) -> dict[str, Input]:
    """Return the tensors of a request by name: its fields, and those of an object in its place."""
    found = {}
    for name, field in fields.items():
        kind, shape = field.type, [-1]
        while isinstance(kind, list):
            kind, shape = kind[0].type, [*shape, -1]
        if isinstance(kind, Mapping):
            found |= inputs(kind, [*path, name])
        else:
            found[name] = Input([*path, name], DATATYPES.get(kind, "BYTES"), shape)
    return found


def requests(
    tensors: Sequence[Tensor], known: Mapping[str, Input], *, max_rows: int
) -> list[dict[str, Any]]:
    """Return the request of `POST /predict` for each row; a NaN is a missing value.

    Raises:
        ValueError: A tensor is unknown or given twice, or its shape does not fit.
    """
    if len({one.name for one in tensors}) < len(tensors):
        raise ValueError("an input is given twice")
    rows: list[dict[str, Any]] = []
    for tensor in tensors:
        name, shape = tensor.name, tensor.shape
        if name not in known:
            raise ValueError(f"the inputs are {', '.join(known)}")
        if shape[0] > max_rows:
            raise ValueError(f"{name} has {shape[0]} rows; the most are {max_rows}")
        path, datatype, expected = known[name]
        if "BYTES" in (datatype, tensor.datatype) and datatype != tensor.datatype:
            raise ValueError(f"{name} has the datatype {datatype}")
        array = np.array(tensor.data, dtype=object).reshape(shape)
        # [rows, 1] is one value for each row, too.
        values = (array if expected[1:] else array.reshape(shape[0])).tolist()
        rows = rows or [{} for _ in values]
        if len(rows) != len(values) or len(shape) < len(expected):
            raise ValueError(f"{name} must have the shape {[len(rows), *expected[1:]]}")
        for row, value in zip(rows, values, strict=True):
            owner = reduce(lambda at, key: at.setdefault(key, {}), path[:-1], row)
            is_missing = isinstance(value, float) and math.isnan(value)
            owner[path[-1]] = None if is_missing else value
    return rows


def outputs(answers: Answers) -> list[dict[str, Any]]:
    """Return a tensor for each field of the answers, or for each number of a field with several.

    A list, whose length is not that of others, is a string of JSON.
    """
    flat: list[dict[str, Any]] = [{} for _ in answers]
    for into, answer in zip(flat, answers, strict=True):
        for name, value in answer.items():
            if isinstance(value, Mapping):
                into |= {f"{name}.{key}": one for key, one in value.items()}
            else:
                into[name] = json.dumps(value) if isinstance(value, list) else value
    kinds = {name: "FP64" if isinstance(one, float) else "BYTES" for name, one in flat[0].items()}
    return [
        _tensor(name, kind, [len(flat)]) | {"data": [one[name] for one in flat]}
        for name, kind in kinds.items()
    ]


def _tensor(name: str, datatype: str, shape: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _protocol(engine: Engine, endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with its answers, and its errors, in the protocol's form."""

    async def answered(request: Request) -> Response:
        try:
            if request.path_params.get("name", MODEL) != MODEL:
                raise HTTPException(404, f"the only model is {MODEL}")
            version = request.path_params.get("version")
            if version and version != (current := engine.require_loaded().version):
                raise HTTPException(404, f"the only version is {current}")
            return JSONResponse(await endpoint(request))
        except InvalidError as error:
            listed = (f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors)
            return ProblemResponse(error, error="; ".join(listed) or error.detail)
        except HTTPException as error:
            return ProblemResponse(error, error=error.detail)

    return answered

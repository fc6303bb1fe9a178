"""What a client sends and gets. Another kind of input changes this file and nothing else here."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ..config import ServingConfig
from .engine import Engine

STRICT = ConfigDict(extra="forbid", strict=True)
MAX_BYTES_PER_CHARACTER = 6
"""Of JSON in which each character is written as an escape."""


class PredictResponse(BaseModel):
    """A label for one input."""

    prediction: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    """The probability that the model gives to the label."""
    model_version: str
    """The version in the registry; of a bundle on disk, a hash of its weights."""


class BatchResponse(BaseModel):
    """A label for each input, in their order."""

    predictions: list[PredictResponse]


def max_body_bytes(config: ServingConfig) -> int:
    """Return the size of the largest request that can be valid."""
    return config.max_batch_size * (MAX_BYTES_PER_CHARACTER * config.max_text_length + 64)


def prediction_routes(engine: Engine, config: ServingConfig) -> APIRouter:
    """Return the endpoints that predict, with the limits of `config`."""
    router = APIRouter()

    class TextRequest(BaseModel):
        model_config = STRICT
        text: Annotated[str, Field(min_length=1, max_length=config.max_text_length, pattern=r"\S")]

    class BatchRequest(BaseModel):
        model_config = STRICT
        inputs: Annotated[list[TextRequest], Field(min_length=1, max_length=config.max_batch_size)]

    async def predict(requests: list[TextRequest]) -> list[PredictResponse]:
        version = engine.predictor.version
        predictions = await engine.predict([request.text for request in requests])
        return [
            PredictResponse(prediction=label, confidence=confidence, model_version=version)
            for label, confidence in predictions
        ]

    @router.post("/predict")
    async def predict_one(request: TextRequest) -> PredictResponse:
        """Label one text."""
        [response] = await predict([request])
        return response

    @router.post("/predict/batch")
    async def predict_batch(request: BatchRequest) -> BatchResponse:
        """Label several texts."""
        return BatchResponse(predictions=await predict(request.inputs))

    return router

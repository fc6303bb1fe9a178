"""A FastAPI route that checks a request and answers without a model: the ceiling of FastAPI."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from serving_rivals.model import REQUESTS

app = FastAPI()


class PredictRequest(REQUESTS[sys.argv[2]]):
    pass


class PredictResponse(BaseModel):
    prediction: str
    confidence: float


@app.post("/predict")
async def predict(request: PredictRequest) -> PredictResponse:
    return PredictResponse(prediction="nothing", confidence=1.0)


uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)

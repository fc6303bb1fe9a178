"""The server of the pattern document, completed by the encoding of a request."""

import sys

import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from serving_rivals.model import REQUESTS, Model

app = FastAPI()


class PredictRequest(REQUESTS[sys.argv[2]]):
    pass


class PredictResponse(BaseModel):
    prediction: str
    confidence: float


# Load model at startup
model = None


@app.on_event("startup")
async def load_model():
    global model
    model = Model()
    model.model.eval()


@app.post("/predict", response_model=PredictResponse)
async def predict(request: PredictRequest):
    if model is None:
        raise HTTPException(503, "Model not loaded")

    with torch.no_grad():
        output = model.model(model.encode(request.model_dump()).unsqueeze(0))
        prediction = output.argmax().item()
        confidence = output.softmax(-1).max().item()

    return PredictResponse(
        prediction=str(prediction),
        confidence=confidence,
    )


@app.get("/health")
async def health():
    return {"status": "healthy", "model_loaded": model is not None}


uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)

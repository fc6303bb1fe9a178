"""The server of the pattern document, completed by the encoding of texts as tokens."""

import sys
from importlib import import_module
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

PACKAGE, PORT = sys.argv[1], int(sys.argv[2])

app = FastAPI()


class PredictRequest(BaseModel):
    text: str


class PredictResponse(BaseModel):
    prediction: str
    confidence: float


# Load model at startup
bundle = None


@app.on_event("startup")
async def load_model():
    global bundle
    torch.set_num_threads(1)
    bundle = import_module(f"{PACKAGE}.models.bundle").Bundle.load(Path("models/bundle"))
    bundle.model.eval()


@app.post("/predict", response_model=PredictResponse)
async def predict(request: PredictRequest):
    if bundle is None:
        raise HTTPException(503, "Model not loaded")

    with torch.no_grad():
        output = bundle.model(torch.tensor([bundle.spec.encoder.encode({"text": request.text})]))
        prediction = output.argmax().item()
        confidence = output.softmax(-1).max().item()

    return PredictResponse(
        prediction=str(prediction),
        confidence=confidence,
    )


@app.get("/health")
async def health():
    return {"status": "healthy", "model_loaded": bundle is not None}


uvicorn.run(app, port=PORT, log_level="warning", access_log=False)

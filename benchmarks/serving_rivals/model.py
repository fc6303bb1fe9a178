"""A bundle as users of PyTorch call it: one thread, batches padded to their longest row."""

import base64
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch.nn.utils.rnn import pad_sequence

BUNDLE = Path("models/bundle")


class TextRequest(BaseModel):
    """The request of a text."""

    text: str


class ImageRequest(BaseModel):
    """The request of an image, a PNG or JPEG in base64."""

    image: str


class TableRequest(BaseModel):
    """The request of a row of a table."""

    features: dict[str, float | str | None]


REQUESTS: dict[str, Any] = {"text": TextRequest, "image": ImageRequest, "features": TableRequest}
"""By the name of their field."""


def load_bundle() -> Any:
    """Return the bundle of the project in the current folder."""
    [package] = [path.parent.name for path in Path("src").glob("*/serve.py")]
    return import_module(f"{package}.models.bundle").Bundle.load(BUNDLE)


class Model:
    """The bundle of the project in the current folder."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        bundle = load_bundle()
        self.model = bundle.model.eval()
        self.encoder, self.objective = bundle.spec.encoder, bundle.spec.objective

    def encode(self, request: Mapping[str, Any]) -> torch.Tensor:
        """Return a request as a row of the model's inputs."""
        fields = self.encoder.fields()
        values = {
            name: base64.b64decode(value) if fields[name].type is bytes else value
            for name, value in request.items()
        }
        return torch.as_tensor(self.encoder.encode(self.encoder.row(values)))

    @torch.inference_mode()
    def predict(self, inputs: Sequence[torch.Tensor]) -> list[dict[str, Any]]:
        """Return the prediction of each encoded request, in one batch."""
        outputs = self.model(pad_sequence(list(inputs), batch_first=True))  # [rows, num_outputs]
        predictions = self.objective.predictions(self.objective.scores(outputs.numpy()))
        return [prediction._asdict() for prediction in predictions]

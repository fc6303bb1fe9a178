"""The network of an image project on its default data."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from .workloads import WARM_UP, Workload


def image(package: str, scale: float) -> list[Workload]:
    """Return the project's CNN on the digits, if the project is one of images.

    Without augmentations, which every loop would have to wait for alike.
    """
    if find_spec(f"{package}.models.cnn") is None:
        return []
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    inputs = torch.from_numpy(data.images * 255 / 16).round().byte().unsqueeze(1)
    spec = import_module(f"{package}.data.image").ImageSpec(1, 8, 8, (0.3,), (0.38,))
    models = import_module(f"{package}.models.cnn")
    make = lambda: models.CNN(models.CNNConfig("cnn"), spec, 10)  # noqa: E731
    steps = max(WARM_UP + 5, round(300 * scale))
    labels = torch.from_numpy(data.target).long()
    return [Workload("CNN on digits, batch 32", make, inputs, labels, None, 32, steps)]

"""ONNX Runtime."""

from collections.abc import Callable

import numpy as np

from ...models.bundle import INT8, ONNX, Bundle
from ...models.onnx import session


def load(bundle: Bundle, *, num_threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that gives outputs [rows, num_outputs] of inputs [rows, ...]."""
    content = bundle.files[INT8 if INT8 in bundle.files else ONNX]
    return session(content, num_threads=num_threads)

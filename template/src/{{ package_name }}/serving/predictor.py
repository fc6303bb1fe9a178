"""Predictions of a bundle for raw inputs."""

import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ..data.encoder import padded, to_array
from ..data.rows import Detailed, Values
from ..models.bundle import INT8, ONNX, Bundle, Run, explained, session
from ..rules import ConfigError, require

ROWS_PER_PASS = 16
"""Of rows sorted by length, which makes padding short. Of 64 texts of 8 to 64 words, the default
transformer takes 0.25 ms each in passes of 4 to 16, 0.34 in passes of 1, 0.42 in one pass; PyTorch
0.32 in passes of 16, 0.39 in passes of 8 or 64, and 1.07 in passes of 1."""

log = logging.getLogger(__name__)


class Predictor:
    """Predict on the CPU. Not thread-safe."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        version: str | None = None,
        backend: str = "onnx",
        num_threads: int = 1,
    ) -> None:
        """Load the model into a back end, and check what it computes.

        Raises:
            BundleError: It cannot be loaded, or gives other outputs than the trained model.
            ConfigError: There is no such back end, or its library is not installed.
        """
        self.spec = bundle.spec
        self.lineage = bundle.lineage
        self.version = version or bundle.version
        is_int8 = backend == "onnx" and INT8 in bundle.files
        self.precision = "int8" if is_int8 else "float32"
        self.backend, load_backend = _loader(bundle, backend)
        with explained(bundle.folder):
            self._run = load_backend(bundle, num_threads=num_threads)
            bundle.check(self._run, is_int8=is_int8)
            [self.example] = self.predict([self.spec.encoder.example])
            """The prediction for the encoder's example."""

    def predict(self, rows: Sequence[Values]) -> list[Any]:
        """Return the objective's prediction for each row, in their order."""
        if not rows:
            return []
        objective = self.spec.objective
        outputs = self.outputs([to_array(self.spec.encoder.encode(row)) for row in rows])
        scores = objective.scores(outputs)
        predictions = objective.predictions(scores)
        for index, row in enumerate(rows):
            if isinstance(row, Detailed):
                predictions[index] = objective.detailed(predictions[index], scores[index])
        return predictions

    def outputs(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """Return the model's outputs for encoded rows: [rows, num_outputs]."""
        if len(rows) == 1:  # the rest takes 20 µs
            return self._run(rows[0][np.newaxis])
        by_length = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        starts = range(0, len(rows), ROWS_PER_PASS)
        passes = (by_length[start : start + ROWS_PER_PASS] for start in starts)
        outputs = np.concatenate([self._run(padded([rows[i] for i in some])) for some in passes])
        ordered = np.empty_like(outputs)
        ordered[by_length] = outputs
        return ordered


def _loader(bundle: Bundle, backend: str) -> tuple[str, Callable[..., Run]]:
    """Return a back end, PyTorch if the model was not exported, and what loads a bundle into it."""
    if backend == "onnx" and ONNX not in bundle.files:
        log.info("the model was not exported for ONNX Runtime, so PyTorch computes it")
        backend = "torch"
    require(backend in BACKENDS, "serving.backend", f"one of {', '.join(BACKENDS)}", backend)
    library, load = BACKENDS[backend]
    try:
        import_module(library)
    except ModuleNotFoundError as error:
        message = f"serving.backend={backend} needs {error.name}, which is not installed here"
        raise ConfigError(message) from error
    return backend, load


def _load_onnx(bundle: Bundle, *, num_threads: int) -> Run:
    return session(bundle.files[INT8 if INT8 in bundle.files else ONNX], num_threads=num_threads)


def _load_torch(bundle: Bundle, *, num_threads: int) -> Run:
    """Return what PyTorch computes, whose number of threads is that of the whole process."""
    import torch

    torch.set_num_threads(num_threads)
    model = bundle.model

    @torch.inference_mode()
    def run(inputs: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(inputs)).numpy()

    return run


BACKENDS = {"onnx": ("onnxruntime", _load_onnx), "torch": ("torch", _load_torch)}
"""The library that each back end needs, and what loads a bundle into it."""

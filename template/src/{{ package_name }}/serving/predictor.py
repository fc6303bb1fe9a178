"""Predictions of a bundle for raw inputs."""

from collections.abc import Sequence
from typing import Any

import torch

from ..data.dataset import Split
from ..data.rows import Values
from ..models.bundle import Bundle, BundleError

ROWS_PER_PASS = 16
"""Four passes over 64 texts sorted by length take a third of the time of one: less padding."""


class Predictor:
    """Predict on the CPU. Not thread-safe."""

    def __init__(self, bundle: Bundle, *, version: str | None = None, num_threads: int = 1) -> None:
        """Set PyTorch's number of threads, for the whole process, and predict an example.

        Raises:
            BundleError: The model returns NaN or infinity.
        """
        torch.set_num_threads(num_threads)
        self.model = bundle.model
        self.spec = bundle.spec
        self.lineage = bundle.lineage
        self.version = version or bundle.version
        if not self._outputs([bundle.spec.encoder.example]).isfinite().all():
            raise BundleError("the bundle's weights give NaN or infinity; train the model again")

    def predict(self, rows: Sequence[Values]) -> list[Any]:
        """Return the objective's prediction for each row, in their order."""
        if not rows:
            return []
        objective = self.spec.objective
        return objective.predictions(objective.scores(self._outputs(rows)))

    @torch.inference_mode()
    def _outputs(self, rows: Sequence[Values]) -> torch.Tensor:
        """Return the model's outputs: [rows, num_outputs]."""
        encoded = map(self.spec.encoder.encode, rows)
        split = Split.from_rows(encoded, torch.zeros(len(rows)))
        by_length = split.lengths.argsort()
        passes = by_length.split(ROWS_PER_PASS)
        outputs = torch.cat([self.model(split.inputs(indices)) for indices in passes])
        return outputs[by_length.argsort()]

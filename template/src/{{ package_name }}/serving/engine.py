"""The model behind the server: loaded and called in one thread."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ..config import ServingConfig
from .batching import Batcher, UnavailableError
from .metrics import ServingMetrics

if TYPE_CHECKING:  # PyTorch is imported by `load`, while the server answers /health already
    from .predictor import Prediction, Predictor

log = logging.getLogger(__name__)


class Engine:
    """Loads a model, then predicts what comes in, until it is cancelled."""

    def __init__(self, load: Callable[[], "Predictor"], config: ServingConfig) -> None:
        self.metrics = ServingMetrics()
        self.error: Exception | None = None
        """Why there will never be a model."""
        self.on_error: Callable[[], None] = lambda: None
        self._load = load
        self._predictor: Predictor | None = None
        self._batcher: Batcher[str, Prediction] = Batcher(
            max_batch_size=config.max_batch_size,
            max_queue_size=config.max_queue_size,
            on_batch=self.metrics.batch_size.observe,
        )

    @property
    def loaded(self) -> bool:
        """Whether there is a model."""
        return self._predictor is not None

    @property
    def predictor(self) -> "Predictor":
        """The model.

        Raises:
            UnavailableError: It is not loaded yet.
        """
        if self._predictor is None:
            raise UnavailableError("the model is being loaded")
        return self._predictor

    async def run(self) -> None:
        """Load the model and predict until cancelled; end early where it cannot be loaded."""
        with ThreadPoolExecutor(1, "model") as executor:
            try:
                self._predictor = await asyncio.get_running_loop().run_in_executor(
                    executor, self._load
                )
            except Exception as error:
                self.error = error
                self.on_error()
            else:
                self._announce(self.predictor)
                await self._batcher.run(self.predictor.predict, executor)

    async def predict(self, inputs: list[str]) -> list["Prediction"]:
        """Return a prediction for each input, in their order, once there is a model.

        Raises:
            UnavailableError: Too much is waiting.
        """
        predictions = await self._batcher.submit(inputs)
        for prediction in predictions:
            self.metrics.predictions.labels(prediction.label).inc()
        return predictions

    def _announce(self, predictor: "Predictor") -> None:
        lineage = predictor.bundle.lineage
        commit = lineage.git_commit[:12] if lineage.git_commit else "unknown"
        log.info("model %s of commit %s is ready", predictor.version, commit)

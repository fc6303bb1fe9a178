"""PyTorch on the CPU, whose number of threads is that of the whole process."""

from collections.abc import Callable

import numpy as np
import torch

from ...models.bundle import Bundle


def load(bundle: Bundle, *, num_threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that gives outputs [rows, num_outputs] of inputs [rows, ...]."""
    torch.set_num_threads(num_threads)
    model = bundle.model

    @torch.inference_mode()
    def run(inputs: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(inputs)).numpy()

    return run

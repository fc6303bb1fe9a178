"""Batches of a split in parts on a device, prepared in this thread or ahead in others."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ..config import TrainingConfig
from ..data.dataset import Split
from .distributed import rank, shard, world_size


class Part(NamedTuple):
    """Rows of a batch whose gradients are computed at once."""

    inputs: Tensor
    """[rows, ...]."""
    targets: Tensor
    """[rows, ...]."""
    weight: float
    """Weight of the mean loss over these rows in the loss of the batch."""


Batch = list[Part]


def prepared(
    split: Split, batches: Iterator[Tensor], config: TrainingConfig, device: torch.device
) -> Iterator[Batch]:
    """Yield this rank's shard of each batch of row indices, in parts, on the device.

    The order and the content do not depend on the number of threads that prepare them.
    """
    prepare = partial(to_parts, split, num_parts=config.accumulation_steps, device=device)
    if config.num_data_workers:
        return _ahead(prepare, batches, config.num_data_workers)
    return map(prepare, batches)


def to_parts(split: Split, indices: Tensor, *, num_parts: int, device: torch.device) -> Batch:
    """Return this rank's rows of a batch in at most `num_parts` parts of like size."""
    rows, weight = shard(indices, rank(), world_size())
    batch = []
    for part in rows.chunk(num_parts) if num_parts > 1 else [rows]:
        inputs, targets = (_copied(tensor, device) for tensor in split.batch(part))
        batch.append(Part(inputs, targets, weight * len(part) / len(rows)))
    return batch


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device; a copy to a GPU is asynchronous."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")


def _ahead(
    prepare: Callable[[Tensor], Batch], batches: Iterator[Tensor], num_workers: int
) -> Iterator[Batch]:
    with ThreadPoolExecutor(num_workers, thread_name_prefix="batches") as pool:
        waiting = deque(pool.submit(prepare, rows) for rows in islice(batches, 2 * num_workers))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(pool.submit(prepare, rows) for rows in islice(batches, 1))
            yield batch

"""A split as tensors, and its batches."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import ProjectError
from .encoder import to_array

BATCHES_PER_BUCKET = 50
"""Batches whose rows are sorted by length together; more reduce both padding and shuffling."""


@dataclass(frozen=True)
class Split:
    """Encoded rows, all of one shape or each of its own length."""

    values: Tensor
    """[rows, ...], or ragged rows concatenated: [total length, ...]."""
    targets: Tensor
    """[rows, ...]."""
    offsets: Tensor | None = None
    """[rows + 1], int64: row i is `values[offsets[i]:offsets[i + 1]]`. `None` for equal shapes."""

    @classmethod
    def from_rows(cls, rows: Iterable[Any], targets: np.ndarray | Tensor) -> Self:
        """Build a split from rows, each of which is an array or nested numbers."""
        tensors = [torch.as_tensor(row) for row in rows]
        targets = torch.as_tensor(targets)
        if len({tensor.shape for tensor in tensors}) == 1:
            return cls(torch.stack(tensors), targets)
        lengths = torch.tensor([0, *map(len, tensors)], dtype=torch.int64)
        return cls(torch.cat(tensors), targets, lengths.cumsum(0))

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def lengths(self) -> Tensor:
        """Length of each row: [rows], int64."""
        if self.offsets is None:
            return torch.ones(len(self), dtype=torch.int64)
        return self.offsets.diff()

    def inputs(self, indices: Tensor) -> Tensor:
        """Return some rows: [batch, ...]; ragged ones are padded with 0 to the longest."""
        if self.offsets is None:
            return self.values[indices]
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        columns = torch.arange(int(lengths.max()))
        is_padding = columns >= lengths.unsqueeze(-1)  # [batch, longest]
        places = (starts.unsqueeze(-1) + columns).masked_fill(is_padding, 0)
        rows = self.values[places]  # [batch, longest, ...]
        return rows.masked_fill(is_padding.view(*is_padding.shape, *[1] * (rows.ndim - 2)), 0)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of some rows."""
        return self.inputs(indices), self.targets[indices]

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every row once, in order."""
        for indices in torch.arange(len(self)).split(size):
            yield self.batch(indices)

    def shuffled_batches(self, size: int, *, seed: int, epoch: int) -> list[Tensor]:
        """Return the row indices of each batch of an epoch, determined by `seed` and `epoch`.

        Rows of similar length share a batch, which keeps padding short.
        """
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(self), generator=generator)
        if self.offsets is None:
            return list(order.split(size))
        lengths = self.lengths
        batches: list[Tensor] = []
        for rows in order.split(size * BATCHES_PER_BUCKET):
            batches += rows[lengths[rows].argsort()].split(size)
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def save(self, path: Path) -> None:
        """Write the tensors as safetensors."""
        tensors = {name: tensor for name, tensor in vars(self).items() if tensor is not None}
        save_file(tensors, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the split that `save` wrote.

        The file is memory-mapped, so it may be larger than memory.

        Raises:
            ProjectError: It cannot be read.
        """
        try:
            return cls(**load_file(path))
        except (OSError, TypeError, SafetensorError) as error:
            message = f"{path} cannot be read ({error}); run `make preprocess`"
            raise ProjectError(message) from error


def write_split(batches: Iterable[tuple[list[Any], np.ndarray]], path: Path) -> None:
    """Write rows and their targets as the file that `Split.load` reads; memory holds one batch."""
    offsets, shapes = array("q", [0]), set()
    folder = path.parent
    with TemporaryFile(dir=folder) as inputs, TemporaryFile(dir=folder) as labels:
        for rows, targets in batches:
            arrays = [to_array(row) for row in rows]
            shapes |= {array.shape for array in arrays}
            offsets.extend(accumulate(map(len, arrays), initial=offsets.pop()))
            values = np.concatenate(arrays)
            _append(values, inputs)
            _append(targets, labels)
        stored = _mapped(inputs, values), _mapped(labels, targets)
        if len(shapes) == 1:
            split = Split(stored[0].view(-1, *shapes.pop()), stored[1])
        else:
            split = Split(*stored, torch.frombuffer(offsets, dtype=torch.int64))
        split.save(path)


def _append(array: np.ndarray, file: IO[bytes]) -> None:
    file.write(np.ascontiguousarray(array).data)


def _mapped(file: IO[bytes], like: np.ndarray) -> Tensor:
    """Return the arrays that a file holds one after the other, without reading it into memory."""
    file.flush()
    rows = np.memmap(file, dtype=like.dtype, mode="r+").reshape(-1, *like.shape[1:])
    return torch.from_numpy(rows)

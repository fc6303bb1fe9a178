"""A split as tensors, and its batches."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import ProjectError
from .mapped import MappedTensor

IN_MEMORY_BYTES = 2**30
"""A larger file of a split is not read as a whole."""
BATCHES_PER_BUCKET = 50
"""Batches whose rows are sorted by length together: more of them pad less, fewer mix better."""


@dataclass(frozen=True)
class Split:
    """Encoded rows of any length, stored end to end.

    Row i is `values[offsets[i]:offsets[i + 1]]`, its class `labels[i]`.
    """

    values: Tensor | MappedTensor
    """[total length], int64."""
    offsets: Tensor
    """[rows + 1], int64."""
    labels: Tensor
    """[rows], int64."""

    @classmethod
    def from_rows(cls, rows: list[list[int]], labels: list[int]) -> Self:
        """Return the split that holds `rows`, each a list of token ids."""
        lengths = torch.tensor([0, *map(len, rows)], dtype=torch.int64)
        values = torch.tensor([value for row in rows for value in row], dtype=torch.int64)
        return cls(values, lengths.cumsum(0), torch.tensor(labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Tensor:
        """Length of each row: [rows], int64."""
        return self.offsets.diff()

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs [batch, longest], padded with 0, and labels [batch] of some rows."""
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        columns = torch.arange(int(lengths.max()))
        is_padding = columns >= lengths.unsqueeze(-1)  # [batch, longest]
        places = (starts.unsqueeze(-1) + columns).masked_fill(is_padding, 0)
        return self.values[places].masked_fill(is_padding, 0), self.labels[indices]

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every row once, in order."""
        for indices in torch.arange(len(self)).split(size):
            yield self.batch(indices)

    def shuffled_batches(self, size: int, *, seed: int, epoch: int) -> list[Tensor]:
        """Return the row indices of each batch of an epoch, which `seed` and `epoch` decide.

        Rows of similar length share a batch, so that little of it is padding.
        """
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(self), generator=generator)
        lengths = self.lengths
        batches: list[Tensor] = []
        for rows in order.split(size * BATCHES_PER_BUCKET):
            batches += rows[lengths[rows].argsort()].split(size)
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def save(self, path: Path) -> None:
        """Write the tensors as safetensors."""
        assert isinstance(self.values, Tensor), "what is mapped lies in a file already"
        save_file({"values": self.values, "offsets": self.offsets, "labels": self.labels}, path)

    @classmethod
    def load(cls, path: Path, *, max_bytes: int = IN_MEMORY_BYTES) -> Self:
        """Return the split that `save` wrote; in a file above `max_bytes` its values stay there.

        Raises:
            ProjectError: It cannot be read.
        """
        if path.stat().st_size <= max_bytes:
            try:
                return cls(**load_file(path))
            except (OSError, TypeError, SafetensorError) as error:
                message = f"{path} cannot be read ({error}); run `make preprocess`"
                raise ProjectError(message) from error
        values, offsets, labels = (MappedTensor(path, f.name) for f in fields(cls))
        return cls(values, offsets.read(), labels.read())

"""A split as tensors, and its batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

BATCHES_PER_BUCKET = 50
"""Batches whose rows are sorted by length together: more of them pad less, fewer mix better."""


@dataclass(frozen=True)
class Split:
    """Encoded rows of any length, stored end to end.

    Row i is `values[offsets[i]:offsets[i + 1]]`, its class `labels[i]`.
    """

    values: Tensor
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
        spans = zip(self.offsets[indices].tolist(), self.offsets[indices + 1].tolist(), strict=True)
        rows = [self.values[start:stop] for start, stop in spans]
        return pad_sequence(rows, batch_first=True), self.labels[indices]

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
        batches: list[Tensor] = []
        for rows in order.split(size * BATCHES_PER_BUCKET):
            batches += rows[self.lengths[rows].argsort()].split(size)
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def save(self, path: Path) -> None:
        """Write the tensors as safetensors."""
        save_file({"values": self.values, "offsets": self.offsets, "labels": self.labels}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the split that `save` wrote."""
        return cls(**load_file(path))

"""A tensor that stays in its file, for data larger than memory."""

import json
import mmap
import warnings
from pathlib import Path

import torch
from torch import Tensor

MAX_RESIDENT_BYTES = 64 * 2**20
"""Of what was read, what may be in this process's memory before it is let go."""


class MappedTensor:
    """A vector in a safetensors file, read a few places at a time.

    What was read stays in the system's page cache as long as there is room, and counts to this
    process only until it is let go. See https://github.com/huggingface/safetensors#format.
    """

    def __init__(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(header_size))[name]
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert entry["dtype"] == "I64", "splits hold int64"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given buffer is not writable")
            self._values = torch.frombuffer(
                self._map,
                dtype=torch.int64,
                count=entry["shape"][0],
                offset=8 + header_size + entry["data_offsets"][0],
            )
        self._map.madvise(mmap.MADV_RANDOM)
        self._num_read = 0

    def __len__(self) -> int:
        return len(self._values)

    def read(self) -> Tensor:
        """Return all of it, in memory."""
        return self._values.clone()

    def __getitem__(self, places: Tensor) -> Tensor:
        """Return the values at `places`, in a tensor of its own."""
        values = self._values[places]
        # A place costs a page at the worst.
        self._num_read += places.numel() * mmap.PAGESIZE
        if self._num_read > MAX_RESIDENT_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._num_read = 0
        return values

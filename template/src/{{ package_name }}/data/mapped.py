"""A tensor that stays in its file, for data larger than memory."""

import json
import math
import mmap
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MAX_RESIDENT_BYTES = 64 * 2**20
"""Of what was read, what may be in this process's memory before it is let go."""


DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""Of safetensors."""


class MappedTensor:
    """A tensor in a safetensors file, read a few rows at a time.

    What was read stays in the system's page cache as long as there is room, and counts to this
    process only until it is let go. See https://github.com/huggingface/safetensors#format.
    """

    def __init__(self, path: Path, entry: Mapping[str, Any], *, start: int) -> None:
        """Map the tensor of an entry of the file's header, in which data begins at `start`."""
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given buffer is not writable")
            flat = torch.frombuffer(
                self._map,
                dtype=DTYPES[entry["dtype"]],
                count=math.prod(entry["shape"]),
                offset=start + entry["data_offsets"][0],
            )
        self._values = flat.view(entry["shape"])
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
        # A row costs the pages that it lies in, and one more at the worst.
        row_bytes = self._values[:1].nbytes
        self._num_read += places.numel() * (row_bytes // mmap.PAGESIZE + 1) * mmap.PAGESIZE
        if self._num_read > MAX_RESIDENT_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._num_read = 0
        return values


def mapped_tensors(path: Path) -> dict[str, MappedTensor]:
    """Return the tensors of a safetensors file by name, none of which is read."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {name: MappedTensor(path, entry, start=8 + size) for name, entry in header.items()}

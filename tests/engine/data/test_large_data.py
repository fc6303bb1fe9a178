"""Data larger than memory is read in it: a split stays in its file."""

from pathlib import Path

import pytest
import torch
from toy_project.data.dataset import Split

BUDGET = 16 * 2**20
STATUS = Path("/proc/self/status")


def anonymous() -> int:
    """The bytes of this process's memory that the kernel could not drop and read again."""
    lines = STATUS.read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


@pytest.mark.skipif(not STATUS.exists(), reason="the kernel has no other way to say")
def test_data_of_ten_times_the_memory_is_read_in_it(tmp_path):
    length, num_rows = 1024, 10 * BUDGET // (8 * 1024)
    values = torch.arange(num_rows * length) % 7
    expected = int(values.sum())
    offsets = torch.arange(num_rows + 1) * length
    Split(values, torch.arange(num_rows) % 3, offsets).save(tmp_path / "large.safetensors")
    del values, offsets
    total, before, most = 0, anonymous(), 0
    split = Split.load(tmp_path / "large.safetensors")
    for number, rows in enumerate(split.shuffled_batches(64, seed=0, epoch=0)):
        total += int(split.batch(rows)[0].sum())
        most = max(most, anonymous()) if number % 20 == 0 else most
    assert total == expected
    assert most - before < BUDGET

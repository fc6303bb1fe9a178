import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toy_project.data import mapped
from toy_project.data.dataset import Split

BUDGET = 16 * 2**20
STATUS = Path("/proc/self/status")


def used(what: str) -> int:
    """Return the bytes of this process's memory, as the kernel counts them."""
    lines = STATUS.read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


@contextmanager
def limited_memory(more: int) -> Generator[None]:
    """Let this process take `more` bytes of memory of its own, and no more."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used("VmData:") + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, int]:
    """A split of ten times the budget, and the sum of its values."""
    length, num_rows = 1024, 10 * BUDGET // (8 * 1024)
    values = torch.arange(num_rows * length) % 7
    split = Split(values, torch.arange(num_rows) % 3, torch.arange(num_rows + 1) * length)
    split.save(tmp_path / "large.safetensors")
    return tmp_path / "large.safetensors", int(values.sum())


@pytest.mark.skipif(not STATUS.exists(), reason="the kernel tells no other way")
def test_data_of_ten_times_the_memory_is_read_in_it(large, monkeypatch):
    path, expected = large
    assert path.stat().st_size > 10 * BUDGET
    monkeypatch.setattr(mapped, "MAX_RESIDENT_BYTES", BUDGET // 4)
    total, before, most = 0, used("VmRSS:"), 0
    with limited_memory(BUDGET):
        split = Split.load(path, max_bytes=BUDGET)
        for number, rows in enumerate(split.shuffled_batches(64, seed=0, epoch=0)):
            total += int(split.batch(rows)[0].sum())
            most = max(most, used("VmRSS:")) if number % 20 == 0 else most
    assert total == expected
    assert most - before < BUDGET


@pytest.mark.parametrize(
    "rows",
    [
        [[n + 1] * (n % 5 + 1) for n in range(40)],
        torch.arange(40 * 6, dtype=torch.uint8).view(40, 2, 3),
        torch.rand(40, 5),
    ],
    ids=["tokens", "bytes", "floats"],
)
def test_a_mapped_split_gives_the_batches_of_one_in_memory(tmp_path, rows):
    Split.from_rows(rows, torch.arange(40) % 3).save(tmp_path / "a.safetensors")
    held, kept = (Split.load(tmp_path / "a.safetensors", max_bytes=n) for n in (2**20, 0))
    assert isinstance(held.values, Tensor) and not isinstance(kept.values, Tensor)
    for indices in held.shuffled_batches(8, seed=1, epoch=0):
        pairs = zip(held.batch(indices), kept.batch(indices), strict=True)
        assert all(one.equal(other) for one, other in pairs)

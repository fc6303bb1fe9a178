"""Data larger than memory: rows go from file to file, and a split stays in its file."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from toy_project import fetch, preprocess
from toy_project.data import rows as data_rows
from toy_project.data.dataset import Split

from .. import commands

BUDGET = 16 * 2**20
STATUS = Path("/proc/self/status")


def anonymous() -> int:
    """The bytes of this process's memory that the kernel could not drop and read again."""
    lines = STATUS.read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="the kernel has no other way to say")


@contextmanager
def watched() -> Generator[list[int]]:
    """Give a list of this process's memory in bytes, which grows while the block runs."""
    found, ended = [anonymous()], Event()

    def watch() -> None:
        while not ended.wait(0.01):
            found.append(anonymous())

    thread = Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def test_four_times_the_rows_are_fetched_and_preprocessed_in_the_same_memory(
    workspace, monkeypatch
):
    monkeypatch.setattr(data_rows, "ROWS_PER_BATCH", 512)
    peaks = []
    for number in (2_000, 8_000):
        with Path("rows.csv").open("w", encoding="utf-8") as file:
            file.write("text,label\n")
            for i in range(number):
                file.write(f"w{i % 50} x{i // 50 % 50} y{i // 2500} {'.' * 4000},{'ab'[i % 2]}\n")
        with watched() as found:
            assert commands.run(fetch, preprocess, settings=["data.path=rows.csv"]) is None
        peaks.append(max(found))
    assert peaks[1] - peaks[0] < BUDGET


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

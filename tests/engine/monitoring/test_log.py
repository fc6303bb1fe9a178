"""The prediction log: what a killed process loses, its size, and requests that it never slows."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from toy_project.data.encoder import Encoder
from toy_project.monitoring.log import (
    FEEDBACK,
    PREDICTIONS,
    Answered,
    files_of,
    read_log,
)

from .logs import make_log

RECORD = {"id": "0" * 32, "label": "a" * 60}

OFFER = """
import sys, time
from prometheus_client import CollectorRegistry
from toy_project.monitoring.config import MonitoringConfig
from toy_project.monitoring.log import PredictionLog
log = PredictionLog(MonitoringConfig(folder=sys.argv[1]), CollectorRegistry())
for number in range(100_000):
    log.offer({"id": str(number), "label": time.time()})
    print(number, flush=True)
    time.sleep(0.002)
"""


def outcomes(registry: CollectorRegistry) -> dict[str, float]:
    [family] = registry.collect()
    return {
        sample.labels["outcome"]: sample.value
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


def test_a_killed_process_loses_at_most_the_last_second(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OFFER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while int(process.stdout.readline()) < 1000:
            pass
        os.kill(process.pid, signal.SIGKILL)
        killed_at = time.time()
    kept = list(read_log(tmp_path, FEEDBACK))
    assert [one["id"] for one in kept] == [str(number) for number in range(len(kept))]
    assert killed_at - kept[-1]["label"] < 1.0


def test_a_line_that_a_crash_has_cut_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "feedback-1-1.jsonl").write_text('{"id": "a", "label": 1}\n{"id": "b", "la')
    assert list(read_log(tmp_path, FEEDBACK)) == [{"id": "a", "label": 1}]


@pytest.mark.parametrize(
    ("max_bytes", "max_files", "least"), [(64_000, 64, 40_000), (64_000, 3, 8_000)]
)
def test_rotation_bounds_bytes_and_files(
    max_bytes: int, max_files: int, least: int, tmp_path: Path
) -> None:
    log = make_log(tmp_path, max_bytes=max_bytes, max_files=max_files)
    for number in range(40):
        for _ in range(50):
            assert log.offer(RECORD)
        log.write()
        files = files_of(tmp_path, FEEDBACK)
        size = sum(path.stat().st_size for path in files)
        assert size <= 1.2 * max_bytes and len(files) <= max_files, number
    log.close()
    assert size > least
    assert all(one == RECORD for one in read_log(tmp_path, FEEDBACK))


def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    log = make_log(tmp_path, registry, max_waiting=10)
    taken = [log.offer(RECORD) for _ in range(1000)]
    log.close()
    assert outcomes(registry) == {"written": sum(taken), "dropped": 1000 - sum(taken)}
    assert len(list(read_log(tmp_path, FEEDBACK))) == sum(taken) < 1000


def test_a_burst_is_written_before_it_would_be_dropped(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    for _ in range(20):  # batches, in less than the time between two writes
        assert all([log.offer(RECORD) for _ in range(64)])
        time.sleep(0.02)
    log.close()
    assert len(list(read_log(tmp_path, FEEDBACK))) == 20 * 64 > log.config.max_waiting


def test_a_disk_that_cannot_be_written_is_counted_and_tried_again(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    folder = tmp_path / "logs"
    folder.write_text("a file where the folder should be")
    log = make_log(folder, registry)
    log.offer(RECORD)
    log.write()
    folder.unlink()
    log.offer(RECORD)
    log.close()
    assert outcomes(registry) == {"lost": 1, "written": 1}


def test_a_deleted_file_is_noticed_and_replaced(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    for number in range(3):
        log.offer({"id": str(number), "label": 1})
        log.write()
        if number == 1:
            [file] = files_of(tmp_path, FEEDBACK)
            file.unlink()
    log.close()
    assert [one["id"] for one in read_log(tmp_path, FEEDBACK)] == ["2"]


def test_servers_that_share_a_folder_lose_nothing_new(tmp_path: Path) -> None:
    quiet, busy = make_log(tmp_path, max_bytes=64_000), make_log(tmp_path, max_bytes=64_000)
    quiet.offer({"id": "quiet", "label": 1})
    quiet.write()
    for _ in range(40):  # until it has deleted the file of the other
        for _ in range(50):
            assert busy.offer(RECORD)
        busy.write()
    assert "quiet" not in {one["id"] for one in read_log(tmp_path, FEEDBACK)}
    quiet.offer({"id": "again", "label": 1})
    quiet.close()
    busy.close()
    assert "again" in {one["id"] for one in read_log(tmp_path, FEEDBACK)}


def test_an_offer_takes_no_time(tmp_path: Path) -> None:
    log = make_log(tmp_path, max_waiting=100_000)
    started = time.process_time()
    for _ in range(10_000):
        log.offer(RECORD)
    assert time.process_time() - started < 0.5
    log.close()
    assert not files_of(tmp_path, PREDICTIONS)


def test_an_encoder_that_fails_costs_its_record_alone(tmp_path: Path, caplog) -> None:
    registry, good = CollectorRegistry(), SimpleNamespace(measures=lambda row: {"length": 1})
    log = make_log(tmp_path, registry)
    row = {"text": "a"}
    for encoder in (good, SimpleNamespace(measures=lambda row: row["none"]), good):
        log.offer(Answered({"id": "a"}, row, cast(Encoder, encoder)))
    log.write()
    assert len(list(read_log(tmp_path, PREDICTIONS))) == 2
    assert outcomes(registry) == {"written": 2, "lost": 1}
    assert "a record is lost: KeyError('none')" in caplog.text

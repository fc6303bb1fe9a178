import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_project.tracking.mlflow.journal import (
    Journal,
    JournalInUseError,
    journals,
)
from toy_project.tracking.mlflow.outbox import (
    MAX_POINTS,
    Outbox,
    is_complete,
    waiting,
)

KILLED = """
from itertools import count
from pathlib import Path
from toy_project.tracking.mlflow.journal import Journal

journal = Journal(Path("run"), place="here")
for step in count():
    journal.log_metrics({"loss": step / 7, "accuracy": 0.5}, step=step)
"""


@pytest.fixture
def folder(workspace) -> Path:
    return workspace / ".tracking" / "run"


@pytest.fixture
def journal(folder) -> Journal:
    return Journal(folder, place="here")


def reopened(folder: Path, **settings) -> Journal:
    return Journal(folder, place="here", **settings)


def delivered(folder: Path) -> list[dict]:
    """Take all records that wait, as a server would."""
    taken = []
    with Outbox(folder) as outbox:
        while batch := outbox.batch():
            taken += batch.records
            outbox.send(batch)
            outbox.acknowledge(batch)
    return taken


def points(folder: Path) -> list[tuple[str, int, float]]:
    """Take all points that wait."""
    return [
        (name, record["step"], value)
        for record in delivered(folder)
        for name, value in record.get("metrics", {}).items()
    ]


def test_records_wait_until_they_are_acknowledged(journal, folder):
    journal.log_metrics({"loss": 0.5, "accuracy": math.inf}, step=10)
    journal.append({"folder": "f", "name": "model", "sha256": ""})
    journal.append({"status": "FINISHED", "time": 0})
    assert waiting(folder) == "2 points, model and its end"
    journal.close()
    assert not is_complete(folder)
    assert points(folder) == [("loss", 10, 0.5), ("accuracy", 10, math.inf)]
    assert waiting(folder) == ""
    assert is_complete(folder)
    assert delivered(folder) == []
    reopened(folder).append({"status": "RUNNING", "time": 1})
    assert not is_complete(folder)


def test_what_was_sent_without_an_answer_may_be_there(journal, folder):
    journal.log_metrics({"loss": 1}, step=1)
    with Outbox(folder) as outbox:
        first = outbox.batch()
        assert not first.may_be_there
        outbox.send(first)
    with Outbox(folder) as outbox:
        again = outbox.batch()
        assert (again.records, again.may_be_there) == (first.records, True)
        outbox.acknowledge(again)
        journal.log_metrics({"loss": 2}, step=2)
        assert not outbox.batch().may_be_there


@pytest.mark.parametrize("damage", [b"\x00\xff\n", b"1 2 3\n", b"9 5\n", b"0 99999\n"])
def test_where_the_note_is_damaged_everything_may_be_there(journal, folder, damage):
    journal.log_metrics({"loss": 1}, step=1)
    assert len(points(folder)) == 1
    path = folder / "delivered"
    path.write_bytes(path.read_bytes() + damage)
    with Outbox(folder) as outbox:
        assert outbox.batch().may_be_there


def test_a_point_is_recorded_once(journal, folder):
    for step in (10, 20, 30):
        journal.log_metrics({"loss": step}, step=step)
    journal.close()
    assert len(points(folder)) == 3
    again = reopened(folder)
    for step in (20, 25, 30, 40):
        again.log_metrics({"loss": step}, step=step)
    again.log_metrics({"loss": 20, "accuracy": 1}, step=20)
    assert points(folder) == [("loss", 25, 25), ("loss", 40, 40), ("accuracy", 20, 1)]


def test_batches_are_of_limited_size(journal, folder):
    for step in range(700):
        journal.log_metrics({"loss": 1, "accuracy": 1}, step=step)
    with Outbox(folder) as outbox:
        outbox.acknowledge(outbox.batch())
        batch = outbox.batch()
        assert sum(len(record["metrics"]) for record in batch.records) == MAX_POINTS
        outbox.acknowledge(batch)
    assert waiting(folder) == "400 points"


def test_a_torn_line_is_dropped_wherever_it_is_torn(journal, folder):
    for step in (1, 2):
        journal.log_metrics({"loss": step}, step=step)
    journal.close()
    path = folder / "journal.jsonl"
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        torn = reopened(folder)
        num_whole = whole[:size].count(b"\n")
        torn.log_metrics({"loss": 3}, step=3)
        expected = [("loss", 1, 1), ("loss", 2, 2)][: max(0, num_whole - 1)]
        assert points(folder) == [*expected, ("loss", 3, 3)]
        torn.close()
        (folder / "delivered").unlink()


def test_a_process_that_is_killed_leaves_every_point_it_recorded(workspace):
    process = subprocess.Popen([sys.executable, "-c", KILLED])
    path = Path("run/journal.jsonl")
    while not path.exists() or path.stat().st_size < 10_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reopened(Path("run"), wait_s=5)
    found = points(Path("run"))
    assert [point for point in found if point[0] == "loss"] == [
        ("loss", step, step / 7) for step in range(len(found) // 2)
    ]


def test_a_damaged_line_is_left_out_and_said_so(journal, folder, caplog):
    for step in (1, 2, 3):
        journal.log_metrics({"loss": step}, step=step)
    journal.close()
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\x00\xff\n", *lines[3:]]))
    reopened(folder)
    assert points(folder) == [("loss", 1, 1), ("loss", 3, 3)]
    assert f"{path} holds a damaged line, which is left out" in caplog.messages


def test_a_full_disk_is_told_once_and_ends_nothing(journal, folder, caplog):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (folder / "journal.jsonl").stat().st_size
    journal.log_metrics({"loss": 1}, step=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limit[1]))
    try:
        for step in (2, 3, 4):
            journal.log_metrics({"loss": step}, step=step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    journal.log_metrics({"loss": 5}, step=5)
    assert points(folder) == [("loss", 1, 1), ("loss", 5, 5)]
    path = folder / "journal.jsonl"
    assert caplog.messages == [f"{path}: File too large; training continues and is not recorded"]


def test_it_is_open_in_one_place(journal, folder):
    with pytest.raises(JournalInUseError) as caught:
        reopened(folder)
    assert str(caught.value) == f"{folder}/journal.jsonl is in use by another process"
    with Outbox(folder), pytest.raises(JournalInUseError):
        Outbox(folder)
    journal.close(remove=True)
    assert journals(folder.parent) == []
    reopened(folder)


def test_a_worker_that_outlives_its_process_does_not_keep_it(journal, folder):
    worker = os.fork()
    if worker == 0:
        time.sleep(60)
        os._exit(0)
    try:
        journal.close()
        reopened(folder, wait_s=5)
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)

"""Journals after a crash, on a full disk, or in use; MLflow records in SQLite."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from toy_project.config import TrackingConfig
from toy_project.tracking.base import Tracker, create_tracker
from toy_project.tracking.mlflow.delivery import (
    JOURNALS,
    LINES,
    deliver_leftovers,
)
from toy_project.tracking.mlflow.tracker import Journal

CONFIG = TrackingConfig("mlflow", experiment="miniature", system_metrics=False)

WRITING = """
import sys
from itertools import count
from toy_project.tracking.mlflow.tracker import Journal

journal = Journal(sys.argv[1])
print(journal.folder, flush=True)
for step in count():
    journal.append(metrics={"loss": step / 7}, step=step, time=1000 + step)
"""


@pytest.fixture
def client(tracking) -> MlflowClient:
    return MlflowClient()


@pytest.fixture
def run_id(client) -> str:
    return client.create_run(client.create_experiment("miniature")).info.run_id


def append_points(journal: Journal, *steps: int) -> None:
    for step in steps:
        journal.append(metrics={"loss": step}, step=step, time=1000 + step)


def delivered(client: MlflowClient, run_id: str) -> list[tuple[int, float]]:
    """Deliver what is left, and return the points that the run has."""
    assert deliver_leftovers()
    assert list(JOURNALS.iterdir()) == []
    return [(point.step, point.value) for point in client.get_metric_history(run_id, "loss")]


def test_more_than_fits_into_a_request_arrives(client, run_id):
    journal = Journal(run_id)
    append_points(journal, *range(2500))
    journal.close()
    assert delivered(client, run_id) == [(step, step) for step in range(2500)]


def test_a_torn_line_is_dropped_wherever_it_is_torn(client, run_id):
    journal = Journal(run_id)
    append_points(journal, 1, 2)
    journal.close()
    path = journal.folder / LINES
    whole = path.read_bytes()
    num_first = whole.index(b"\n") + 1
    for size in (0, 1, num_first - 1, num_first, len(whole) - 1, len(whole)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(whole[:size])
        expected = [(1, 1), (2, 2)][: whole[:size].count(b"\n")]
        assert delivered(client, run_id) == expected


def test_a_damaged_line_is_skipped_and_logged(client, run_id, caplog):
    journal = Journal(run_id)
    append_points(journal, 1, 2, 3)
    journal.close()
    path = journal.folder / LINES
    first, _, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, b"\x00\xff\n", b"{\n", third]))
    assert delivered(client, run_id) == [(1, 1), (3, 3)]
    assert caplog.messages.count(f"{path} has a damaged line, which is skipped") == 2


def test_a_process_that_is_killed_leaves_every_point_it_recorded(client, run_id):
    command = [sys.executable, "-c", WRITING, run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        path = Path(process.stdout.readline().strip(), LINES)
        while path.stat().st_size < 10_000:
            time.sleep(0.01)
        assert deliver_leftovers()  # which leaves this one alone
        assert path.exists()
        process.send_signal(signal.SIGKILL)
    num_lines = path.read_bytes().count(b"\n")
    assert delivered(client, run_id) == [(step, step / 7) for step in range(num_lines)]


def test_a_full_disk_is_logged_once_and_ends_nothing(client, run_id, tmp_path, caplog):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(bytes(10_000))
    journal = Journal(run_id)
    append_points(journal, 1)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (journal.folder / LINES).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limit[1]))
    try:
        append_points(journal, 2, 3, 4)
        journal.append_folder(tmp_path / "model", "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    append_points(journal, 5)
    journal.close()
    message = f"{journal.folder}: File too large; training continues and is not recorded"
    assert caplog.messages == [message]
    assert delivered(client, run_id) == [(step, step) for step in (1, 2, 3, 4, 5)]


def test_two_runs_at_once_deliver_their_own(client, caplog):
    caplog.set_level("INFO")
    first = create_tracker(CONFIG).start("first")
    first.log_metrics({"loss": 1}, step=1)
    with create_tracker(CONFIG).start("second"):
        pass
    in_use = f"run {first.run_id} continues in another process, which delivers it"
    assert caplog.messages == [in_use]
    first.log_metrics({"loss": 2}, step=2)
    first.finish()
    assert _steps(client, first) == [1, 2]


def _steps(client: MlflowClient, tracker: Tracker) -> list[int]:
    return [point.step for point in client.get_metric_history(str(tracker.run_id), "loss")]

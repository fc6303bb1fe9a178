"""MLflow's SQLite database and the artifacts beside it.

Points are inserted here, not by MLflow, whose objects take eight times as long: in a thread beside
training, that is time which a small model's step has not got.

MLflow writes absolute paths into its database: a project that was moved or copied would look for
its artifacts, and leave new ones, where it was before.
"""

import math
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from .base import TrackingError

SCHEME = "sqlite:///"
ARTIFACTS = "mlruns"

INSERT = """INSERT OR IGNORE INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
    VALUES (?, ?, ?, ?, ?, ?)"""
UPDATE_LATEST = """INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value,
    timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)"""


def artifact_root(uri: str) -> str | None:
    """Return the URI of `mlruns` beside a SQLite database; null for another kind of store.

    Artifacts that the database has elsewhere, because both have moved since, it has there now.

    Raises:
        TrackingError: The file is no SQLite database.
    """
    if not uri.startswith(SCHEME):
        return None
    database = database_of(uri)
    root = (database.parent / ARTIFACTS).as_uri()
    if database.exists():
        try:
            _move_artifacts(database, root)
        except sqlite3.Error as error:
            message = f"{database} cannot be used ({error}); move it out of the way"
            raise TrackingError(message) from error
    return root


def database_of(uri: str) -> Path:
    """Return the file of a SQLite database."""
    return Path(uri.removeprefix(SCHEME).partition("?")[0]).resolve()


def insert_points(uri: str, run_id: str, points: Iterable[tuple[str, float, int, int]]) -> None:
    """Record points, each a name, a value, a time in ms and a step. One that is there stays one.

    Raises:
        TrackingError: There is no such run.
        sqlite3.Error: The database is locked, damaged or of another MLflow.
    """
    rows = [
        (name, _stored(value), time_ms, step, math.isnan(value), run_id)
        for name, value, time_ms, step in points
    ]
    with closing(sqlite3.connect(database_of(uri))) as connection, connection:
        runs = "SELECT 1 FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
        if not connection.execute(runs, (run_id,)).fetchone():
            raise TrackingError(f"run {run_id} is not recorded in {database_of(uri)}")
        connection.executemany(INSERT, rows)
        in_order = sorted(rows, key=lambda row: (row[3], row[2], row[1]))
        connection.executemany(UPDATE_LATEST, {row[0]: row for row in in_order}.values())


def _stored(value: float) -> float:
    """Return what MLflow stores for a value that is no finite number, or the value."""
    if math.isnan(value):
        return 0
    return max(-sys.float_info.max, min(value, sys.float_info.max))


def _move_artifacts(database: Path, root: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'experiments'")
        if not tables.fetchall():
            return
        locations = connection.execute("SELECT DISTINCT artifact_location FROM experiments")
        for (old,) in locations.fetchall():
            if old != root and old.startswith("file:") and old.endswith(f"/{ARTIFACTS}"):
                _replace(connection, old, root)


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    connection.execute(
        "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (new, old)
    )
    connection.execute(
        "UPDATE runs SET artifact_uri = :new || substr(artifact_uri, length(:old) + 1)"
        " WHERE substr(artifact_uri, 1, length(:old) + 1) = :old || '/'",
        {"old": old, "new": new},
    )

"""MLflow's SQLite database and the artifacts beside it.

MLflow writes absolute paths into its database: a project that was moved or copied would look for
its artifacts, and leave new ones, where it was before.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from .base import TrackingError

SCHEME = "sqlite:///"
ARTIFACTS = "mlruns"


def artifact_root(uri: str) -> str | None:
    """Return the URI of `mlruns` beside a SQLite database; null for another kind of store.

    Artifacts that the database has elsewhere, because both have moved since, it has there now.

    Raises:
        TrackingError: The file is no SQLite database.
    """
    if not uri.startswith(SCHEME):
        return None
    database = Path(uri.removeprefix(SCHEME).partition("?")[0]).resolve()
    root = (database.parent / ARTIFACTS).as_uri()
    if database.exists():
        try:
            _move_artifacts(database, root)
        except sqlite3.Error as error:
            message = f"{database} cannot be used ({error}); move it out of the way"
            raise TrackingError(message) from error
    return root


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

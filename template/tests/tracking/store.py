"""An empty MLflow store for each test. Making its database takes seconds, so it is made once."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient


def new_store(folder: Path) -> str:
    """Return the URI of an empty store in `folder`."""
    (folder / "mlflow.db").write_bytes(_empty_database())
    return f"sqlite:///{folder}/mlflow.db"


@cache
def _empty_database() -> bytes:
    with TemporaryDirectory() as folder:
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
        return Path(folder, "mlflow.db").read_bytes()

"""What tests of the engine share: data, a bundle and a tracker in miniature."""

import gc
import resource
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from miniature import CONFIGS, make_rows
from toy_project.config import (
    Config,
    DataConfig,
    Export,
    TrackingConfig,
    TrainingConfig,
)
from toy_project.data.dataset import Split
from toy_project.data.preprocessing import (
    Processed,
    SplitName,
    preprocess,
)
from toy_project.data.rows import Row, write_rows
from toy_project.data.spec import DataSpec
from toy_project.lineage import Lineage, current_lineage
from toy_project.models.base import Model, build_model
from toy_project.models.bundle import Bundle
from toy_project.models.export import make_bundle


def has(module: str) -> bool:
    """Whether the project was made with this module of the package."""
    return find_spec(f"toy_project.{module}") is not None


TRACKERS = [name for name in ("mlflow", "wandb") if has(f"tracking.{name}")]
# Tests of what this project was made without.
collect_ignore = [
    *(["pipelines"] if not has("pipelines") else []),
    *(["serving", "test_serve.py"] if not has("serve") else []),
    *(["monitoring"] if not has("monitoring") else []),
    *(["test_register.py", "test_tracking.py"] if not TRACKERS else []),
    *(["training/test_ray.py"] if not has("training.launchers.ray") else []),
    *(["image"] if not has("data.image") else []),
    *(["tabular"] if not has("data.table") else []),
    *(["pretrained"] if not has("models.pretrained") else []),
]

DATA = DataConfig(
    name="docstrings",
    columns={"group": "module"},
    encoder={"name": "text", "max_tokens": 16, "min_count": 1},
)
SMALL = {"name": "mlp", "hidden_size": 8, "num_bigram_buckets": 64}
"""The settings of a model of a few weights."""


C = TypeVar("C", bound=Config)


def make_config(kind: type[C] = Config, **sections: Any) -> C:
    """Return the default configuration of a small model, with these sections; nothing is exported,
    which takes seconds.
    """
    chosen = {"data": DATA, "model": SMALL, "objective": {"name": "classification"}}
    training = replace(sections.pop("training", TrainingConfig()), export=Export.none)
    return kind(**chosen | sections, training=training)


def pytest_unconfigure() -> None:
    """Exit at once: looking for what large libraries could free takes seconds."""
    gc.freeze()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """One thread for PyTorch in each test, whatever the test before it has set."""
    torch.set_num_threads(1)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, with this one's configs, as the working directory."""
    (tmp_path / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def process(rows: Iterable[Row], config: Config, folder: Path) -> Processed:
    """Return the rows as `fetch` and `preprocess` would leave them, with their file in a folder."""
    write_rows(rows, folder / "dataset.parquet")
    return preprocess(folder / "dataset.parquet", config)


def encoded(processed: Processed, name: str) -> Split:
    """Return the encoded rows of a split, in memory."""
    rows = [row.values for row in processed.rows[SplitName(name)]]
    encoder, objective = processed.spec.encoder, processed.spec.objective
    return Split.from_rows(map(encoder.encode, rows), objective.encode(rows))


def bundle_of(
    model: Model,
    spec: DataSpec,
    *,
    lineage: Lineage | None = None,
    rows: Split | None = None,
    exports: bool = False,
    quantises: bool = False,
) -> Bundle:
    """Return the bundle of a model; an export takes seconds."""
    if rows is None:
        few = [spec.encoder.encode(spec.encoder.example)] * 2
        rows = Split.from_rows(few, torch.zeros(2))
    lineage = lineage or current_lineage(make_config(), run_id=None)
    return make_bundle(model, spec, lineage, rows, exports=exports, quantises=quantises)


@pytest.fixture(scope="session")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Processed:
    """The miniature dataset, split and encoded."""
    return process(make_rows(), make_config(), tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="session")
def bundle(processed: Processed) -> Bundle:
    """An untrained model of the miniature dataset."""
    rows = encoded(processed, "validation")
    return bundle_of(build_model(SMALL, processed.spec), processed.spec, rows=rows, exports=True)


@pytest.fixture
def bundle_folder(bundle: Bundle, tmp_path: Path) -> Path:
    """The bundle on disk."""
    bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """MLflow's database without a run. To make one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


@pytest.fixture
def tracking(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> TrackingConfig:
    """The settings of the project's tracker, whose store is an empty one in the workspace."""
    if has("tracking.mlflow"):
        (workspace / "mlflow.db").write_bytes(request.getfixturevalue("empty_database"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace}/mlflow.db")
        return TrackingConfig("mlflow", experiment="miniature", system_metrics=False)
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(workspace))
    monkeypatch.setenv("WANDB_DATA_DIR", str(workspace / "wandb"))
    wandb.teardown()  # it reads the environment once
    return TrackingConfig("wandb", experiment="miniature", system_metrics=False)


@pytest.fixture
def no_room() -> Callable[[int], AbstractContextManager[None]]:
    """Return what makes a block in which no file becomes larger than so many bytes."""

    @contextmanager
    def limited(size: int) -> Generator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited

"""Pretrained models in miniature, and what is trained with them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from miniature import make_rows

from toy_project.config import Config, DataConfig, LauncherConfig, OptimizerConfig, TrainingConfig
from toy_project.data.preprocessing import Processed, preprocess
from toy_project.models.base import build_model
from toy_project.models.pretrained import Pretrained

from .checkpoints import TEXT


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the folder of a checkpoint by its name."""
    root = tmp_path_factory.mktemp("checkpoints")

    def made(name: str) -> str:
        folder = root / name
        if not folder.exists():
            TEXT[name](folder)
        return str(folder)

    return made


@pytest.fixture
def prepared(checkpoint: Callable[[str], str], request: pytest.FixtureRequest) -> Processed:
    """The miniature dataset for a checkpoint, BERT unless a test names another."""
    name = getattr(request, "param", "bert")
    return preprocess(make_rows(), config(checkpoint(name)))


def config(folder: str, **model: Any) -> Config:
    """Return the settings with which a checkpoint is trained."""
    encoder = {"name": "pretrained_text", "checkpoint": folder, "max_tokens": 12}
    return Config(
        data=DataConfig(encoder=encoder),
        model={"name": "pretrained", "checkpoint": folder, "encoder": encoder, **model},
        optimizer=OptimizerConfig(learning_rate=1e-3),
        training=TrainingConfig(epochs=2, batch_size=8),
        launcher=LauncherConfig(num_threads=1),
    )


def started(folder: str, prepared: Processed, **model: Any) -> Pretrained:
    """Return a model with the checkpoint's weights, as a new training starts with it."""
    torch.manual_seed(0)
    built = build_model(config(folder, **model).model, prepared.spec)
    assert isinstance(built, Pretrained)
    built.start()
    return built

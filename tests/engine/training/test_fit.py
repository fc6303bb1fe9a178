"""A training as the stage runs it, in a project in miniature."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_project.artifacts import (
    BUNDLE,
    HISTORY_CSV,
    PROCESSED,
    TRACE,
)
from toy_project.config import (
    Config,
    LauncherConfig,
    OptimizerConfig,
    TrainingConfig,
)
from toy_project.models.base import evaluate
from toy_project.models.bundle import Bundle
from toy_project.rules import ConfigError
from toy_project.training.checkpoint import (
    CheckpointError,
    Checkpoints,
)
from toy_project.training.fit import fit

from ..conftest import SMALL, encoded, make_config

STEPS_PER_EPOCH = 9
"""Of the miniature dataset, in batches of 8."""


@pytest.fixture
def project(workspace: Path, processed: Any) -> Path:
    """A project whose data is ready."""
    PROCESSED.parent.mkdir(parents=True)
    processed.save(PROCESSED)
    return workspace


def config(**settings: Any) -> Config:
    training = replace(TrainingConfig(epochs=3, batch_size=8), **settings)
    return make_config(
        model=SMALL,
        optimizer=OptimizerConfig(learning_rate=0.01),
        training=training,
        launcher=LauncherConfig(num_threads=1),
    )


def steps() -> list[int]:
    """Return the steps that were evaluated."""
    lines = HISTORY_CSV.read_text("utf-8").splitlines()[1:]
    return [int(line.split(",")[1]) for line in lines]


def test_the_best_weights_become_the_bundle(project, processed):
    fit(config())
    assert steps() == [STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH, 3 * STEPS_PER_EPOCH]
    bundle = Bundle.load(BUNDLE)
    assert bundle.lineage.data_hash.endswith(".dir")
    validation = encoded(processed, "validation")
    measured = evaluate(bundle.model, bundle.spec.objective, validation)
    assert bundle.lineage.validation_metrics == pytest.approx(measured, abs=1e-6)
    assert [path.name for path in Path("models/checkpoints").iterdir()] == ["best.pt"]


def test_where_the_best_weights_were_not_kept_the_last_are_the_bundle(project, monkeypatch, caplog):
    monkeypatch.setattr(Checkpoints, "load", lambda self, step: None)
    fit(config(min_delta=1.0))
    message = "models/bundle: step 27; the best weights, of step 9, were not kept"
    assert caplog.messages[-1] == message
    assert Bundle.load(BUNDLE)


def test_training_stops_after_patience_evaluations_that_are_not_better(project):
    fit(config(epochs=20, patience=2, min_delta=1.0))
    assert len(steps()) == 1 + 2


def test_overfitting_is_not_stopped_early(project):
    fit(config(epochs=20, patience=1, overfit_batches=1))
    assert len(steps()) == 20


def test_a_profile_and_deterministic_algorithms_are_a_setting_away(project):
    try:
        fit(config(epochs=1, profile_steps=2, deterministic=True))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert TRACE.exists()


def test_callbacks_are_chosen_in_the_configuration(project):
    fit(config(epochs=1, callbacks=[{"name": "Profiling", "path": "t.json", "num_steps": 2}]))
    assert Path("t.json").exists()


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (["Profilin"], "must be a file in training/ with a subclass of Callback"),
        ([{"name": "Profiling", "steps": 2}], "training.callbacks: .*unexpected keyword .*'steps'"),
        ([3], "training.callbacks must be names, or mappings with a name, got 3"),
    ],
)
def test_a_callback_that_cannot_be_made_is_refused_before_there_is_data(
    workspace, callbacks, message
):
    with pytest.raises(ConfigError, match=message):
        fit(config(callbacks=callbacks))


def test_a_checkpoint_of_another_model_ends_in_one_line(project, monkeypatch):
    keep_steps(monkeypatch)
    fit(config())
    wider = replace(config(), model=SMALL | {"hidden_size": 16}, resume_changed=True)
    with pytest.raises(CheckpointError, match=r"was trained with .*=\[64, 8\] \(now \[64, 16\]\)"):
        fit(wider)


def test_a_run_that_was_over_but_for_its_bundle_gives_the_same(project, monkeypatch):
    keep_steps(monkeypatch)
    fit(config())
    whole, figures = Bundle.load(BUNDLE).version, HISTORY_CSV.read_bytes()
    (BUNDLE / "model.safetensors").unlink()
    fit(config())
    assert (Bundle.load(BUNDLE).version, HISTORY_CSV.read_bytes()) == (whole, figures)


def keep_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the checkpoints, as a crash would that comes before they are forgotten."""
    monkeypatch.setattr(Checkpoints, "complete", lambda self, best_step: None)

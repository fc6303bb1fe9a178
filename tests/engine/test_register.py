import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from toy_project import register
from toy_project.artifacts import (
    BUNDLE,
    CONFIGS,
    METRICS_JSON,
    PROCESSED,
)
from toy_project.config import TrackingConfig
from toy_project.lineage import dvc_hash
from toy_project.models.base import build_model
from toy_project.models.bundle import CHECKS, Bundle
from toy_project.objectives.classification import (
    Classification,
)
from toy_project.tracking.registry import (
    RegisteredModel,
    create_registry,
)

from .conftest import SMALL, bundle_of

NAME = yaml.safe_load((Path(__file__).parents[2] / CONFIGS / "config.yaml").read_text("utf-8"))[
    "registry"
]["model_name"]

BASELINES = {
    "majority": {"accuracy": 0.4, "macro_f1": 0.3, "log_loss": 0.7},
    "logistic_regression": {"accuracy": 0.9, "macro_f1": 0.9, "log_loss": 0.1},
}


class Project:
    """A folder with data, a bundle and its test metrics, and the command that registers it."""

    def __init__(self, bundle: Bundle, tracking: TrackingConfig, monkeypatch, caplog) -> None:
        self.bundle = bundle
        self.tracking = tracking
        self._monkeypatch = monkeypatch
        self._caplog = caplog
        self.place(accuracy=0.5)

    def place(
        self,
        *,
        accuracy: float,
        loss: float = 0.25,
        seed: int = 0,
        labels: tuple[str, ...] = (),
        **lineage: Any,
    ) -> None:
        """Put a new model here, as `train` and `evaluate` would."""
        torch.manual_seed(seed)
        spec = self.bundle.spec
        if labels:
            spec = replace(spec, objective=Classification(labels))
        defaults = {"data_hash": dvc_hash(PROCESSED), "run_id": None}
        origin = replace(self.bundle.lineage, **(defaults | lineage))
        bundle_of(build_model(SMALL, spec), spec, lineage=origin).save(BUNDLE)
        self.measure(accuracy, loss)

    def measure(self, accuracy: float, loss: float = 0.25) -> None:
        METRICS_JSON.parent.mkdir(exist_ok=True)
        figures = {"accuracy": accuracy, "macro_f1": 0.75, "log_loss": 0.5, "loss": loss}
        METRICS_JSON.write_text(json.dumps(figures | {"baselines": BASELINES}), "utf-8")

    def register(self, *arguments: str) -> str:
        """Return the one line that the command printed, or the error it ended with."""
        self._monkeypatch.setattr(sys, "argv", ["register", *arguments])
        self._caplog.clear()
        self._caplog.set_level("INFO", register.__name__)
        try:
            register.main()
        except SystemExit as end:
            return str(end.code)
        [line] = [record for record in self._caplog.records if record.name == register.__name__]
        return line.message

    @property
    def champion(self) -> RegisteredModel | None:
        return create_registry(self.tracking).champion(NAME)

    @property
    def version(self) -> str:
        """The champion's."""
        assert self.champion
        return self.champion.version


@pytest.fixture
def project(tracking, processed, bundle, monkeypatch, caplog) -> Project:
    processed.save(PROCESSED)
    return Project(bundle, tracking, monkeypatch, caplog)


def test_the_first_model_becomes_the_champion(project):
    assert project.register() == f"{NAME} is now the champion: version {project.version}"
    bundle = Bundle.load(BUNDLE)
    figures = {"accuracy": "0.5", "macro_f1": "0.75", "log_loss": "0.5", "loss": "0.25"}
    tags = bundle.tags() | figures
    assert project.champion == RegisteredModel(NAME, project.version, tags)


def test_registering_twice_makes_one_version(project):
    project.register()
    first = project.version
    assert project.register() == f"{NAME} is the champion already: version {first}"
    project.place(accuracy=0.6, seed=1)
    assert project.register().endswith(f"version {project.version}")
    assert project.version != first


def test_a_bundle_that_computes_something_else_here_is_refused(project):
    first = Bundle.load(BUNDLE)
    project.register()
    champion = project.version
    project.place(accuracy=0.6, seed=1)
    bundle = Bundle.load(BUNDLE)
    replace(bundle, files={**bundle.files, CHECKS: first.files[CHECKS]}).save(BUNDLE)
    line = "error: models/bundle gives other outputs than in training; train the model again"
    assert project.register() == line
    assert project.version == champion


def test_a_model_below_the_threshold_is_refused(project):
    line = "error: not registered: accuracy is 0.5000, registry.threshold is 0.51"
    assert project.register("registry.threshold=0.51") == line
    project.measure(float("nan"))
    assert project.register("registry.threshold=0.51") == line.replace("0.5000", "nan")
    assert project.champion is None
    line = project.register("registry.metric=macro_f1")
    assert line == f"{NAME} is now the champion: version {project.version}"


@pytest.mark.parametrize("accuracy", [0.39, 0.4, float("nan")])
def test_without_a_threshold_a_model_must_be_better_than_the_constant_baseline(project, accuracy):
    project.measure(accuracy)
    line = f"error: not registered: accuracy is {accuracy:.4f}, the baseline majority has 0.4000"
    assert project.register() == line
    assert project.champion is None
    project.measure(0.4001)
    assert project.register() == f"{NAME} is now the champion: version {project.version}"


def test_the_loss_needs_a_threshold(project):
    line = "error: registry.threshold must be a number for loss, got None"
    assert project.register("registry.metric=loss") == line


def test_less_than_the_baseline_is_better_where_less_is_better(project, monkeypatch):
    monkeypatch.setitem(BASELINES["majority"], "log_loss", 0.5)
    project.measure(0.5)
    line = "error: not registered: log_loss is 0.5000, the baseline majority has 0.5000"
    assert project.register("registry.metric=log_loss") == line
    monkeypatch.setitem(BASELINES["majority"], "log_loss", 0.51)
    project.measure(0.5)
    line = project.register("registry.metric=log_loss")
    assert line == f"{NAME} is now the champion: version {project.version}"


def test_a_metric_of_which_less_is_better_is_held_against_a_limit(project):
    limit = "registry.metric=loss"
    line = "error: not registered: loss is 0.2500, registry.threshold is 0.2"
    assert project.register(limit, "registry.threshold=0.2") == line
    line = project.register(limit, "registry.threshold=0.3")
    assert line == f"{NAME} is now the champion: version {project.version}"
    line = project.register("registry.metric=f1")
    assert line.startswith("error: registry.metric must be null or one of accuracy, ")


def test_a_better_model_moves_the_alias(project):
    project.register()
    first = project.version
    project.place(accuracy=0.6, seed=1)
    assert project.register() == f"{NAME} is now the champion: version {project.version}"
    assert project.version != first


def test_a_worse_model_is_refused_but_within_the_tolerance(project):
    project.register()
    first = project.version
    project.place(accuracy=0.49, seed=1)
    assert project.register() == (
        f"error: not registered: accuracy is 0.4900, the champion, version {first}, "
        "has 0.5000; registry.tolerance is 0"
    )
    assert project.version == first
    line = project.register("registry.tolerance=0.02")
    assert line == f"{NAME} is now the champion: version {project.version}" != first


def test_a_champion_with_less_is_better_where_less_is_better(project):
    gate = ("registry.metric=loss", "registry.threshold=1")
    project.register(*gate)
    first = project.version
    project.place(accuracy=0.5, seed=1, loss=0.3)
    assert project.register(*gate) == (
        f"error: not registered: loss is 0.3000, the champion, version {first}, "
        "has 0.2500; registry.tolerance is 0"
    )
    line = project.register(*gate, "registry.tolerance=0.06")
    assert line == f"{NAME} is now the champion: version {project.version}"
    assert project.version != first


def test_on_other_data_the_champion_is_measured_anew(project):
    project.place(accuracy=0.99, data_hash="of old data")
    project.register()
    first = project.version
    # Untrained, it is right by chance: about a third of the three labels at best.
    project.place(accuracy=0.7, seed=1)
    assert project.register() == f"{NAME} is now the champion: version {project.version}"
    assert project.version != first


def test_a_champion_with_other_labels_is_not_compared(project):
    project.place(accuracy=0.5, labels=("x", "y"), data_hash="of old data")
    project.register()
    project.place(accuracy=0.9, seed=1)
    assert project.register() == (
        f"error: not registered: the champion, version {project.version}, has other labels; "
        "set another registry.model_name for these"
    )
    line = project.register("registry.model_name=other")
    assert line == f"other is now the champion: version {project.version}"


@pytest.mark.parametrize(
    ("missing", "stage"), [(BUNDLE, "train"), (METRICS_JSON, "evaluate")], ids=str
)
def test_what_is_missing_is_named(project, missing, stage):
    missing.rename("elsewhere")
    line = f"error: {missing} is missing; run `make {stage}` first, or `make repro` for all"
    assert project.register() == line


def test_without_tracking_the_gate_is_all(project):
    line = "the model passes the quality gate; tracking=none has no registry to keep it"
    assert project.register("tracking=none") == line
    assert project.register("tracking=none", "registry.threshold=1").startswith("error: not regis")

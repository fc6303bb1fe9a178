"""A challenger predicts a share of the inputs, and no client sees its answers."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from toy_project.config import TrackingConfig
from toy_project.deployment.observer import observe
from toy_project.deployment.shadow import Shadow
from toy_project.models.bundle import Bundle
from toy_project.serving.engine import Engine
from toy_project.serving.predictor import Predictor
from toy_project.serving.source import Source, model_source
from toy_project.tracking.base import create_tracker
from toy_project.tracking.registry import create_registry

from ..conftest import TRACKERS
from .conftest import compose
from .test_swap import ROWS, BusyPredictor, engine_of, figure, of_numbers, other, source_of, until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server


def beside(source: Source) -> Callable[[Engine], Shadow]:
    """Return what lets an engine send all batches to a challenger too."""
    return lambda engine: Shadow(source, engine, share=1.0)


def has_logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


def has_compared(engine: Engine, expected: list[int]) -> bool:
    """Whether so many inputs agreed and differed."""
    inputs = partial(figure, engine, "shadow_inputs_total")
    return [inputs(outcome="agreed"), inputs(outcome="differed")] == expected


def test_a_challenger_is_compared_and_never_answers(bundle, bundle_folder, tmp_path, caplog):
    caplog.set_level("INFO")
    folder, challenger = tmp_path / "challenger", other(bundle, 1)
    challenger.save(folder)
    ours, theirs = (Predictor(one).predict(ROWS) for one in (bundle, challenger))
    agreed = sum(one.prediction == two.prediction for one, two in zip(ours, theirs, strict=True))
    with engine_of(source_of(bundle_folder), prepare=beside(source_of(folder))) as engine:
        until(lambda: f"model {challenger.version} is the challenger" in caplog.text)
        answers = engine.predict(engine.require_loaded(), ROWS)
        assert {answer["model_version"] for answer in answers} == {bundle.version}
        inputs = partial(figure, engine, "shadow_inputs_total")
        until(lambda: inputs(outcome="agreed") + inputs(outcome="differed") == 3)
        assert inputs(outcome="agreed") == agreed
        for model in ("served", "challenger"):
            assert figure(engine, "shadow_seconds_count", model=model) == 1


@pytest.mark.skipif("mlflow" not in TRACKERS, reason="the project has another registry")
def test_the_challenger_of_the_registry_is_followed(
    tracking: TrackingConfig, bundle, tmp_path, caplog
):
    from mlflow import MlflowClient

    caplog.set_level("INFO")
    shadow = ["deployment.shadow.model=challenger", "deployment.shadow.share=1"]
    config = replace(compose("serving.model=champion", *shadow), tracking=tracking)
    registry, name = create_registry(tracking), config.registry.model_name
    folder = tmp_path / "candidate"

    def register(candidate: Bundle, alias: str) -> str:
        candidate.save(folder)
        with create_tracker(tracking).start("a run") as run:
            model = registry.register(name, folder, run=run, description="", tags=candidate.tags())
        MlflowClient().set_registered_model_alias(name, alias, model.version)
        return model.version

    champion, total = register(bundle, "champion"), [0, 0]
    with engine_of(model_source(config), prepare=partial(observe, config=config)) as engine:
        until(lambda: f"attempts go on: {name} has no challenger; set it in" in caplog.text)
        for candidate in (other(bundle, 1), other(bundle, 2)):
            loaded = f"model {register(candidate, 'challenger')} is the challenger"
            until(partial(has_logged, caplog, loaded))
            ours, theirs = (Predictor(one).predict(ROWS) for one in (bundle, candidate))
            agreed = sum(a.prediction == b.prediction for a, b in zip(ours, theirs, strict=True))
            answers = engine.predict(engine.require_loaded(), ROWS)
            assert {answer["model_version"] for answer in answers} == {champion}
            total = [total[0] + agreed, total[1] + len(ROWS) - agreed]
            until(partial(has_compared, engine, total))


def test_a_busy_challenger_delays_nothing(bundle, bundle_folder, caplog):
    caplog.set_level("INFO")
    BusyPredictor.may_go_on.clear()
    challenger = source_of(bundle_folder, BusyPredictor)
    with engine_of(source_of(bundle_folder), prepare=beside(challenger)) as engine:
        until(lambda: "is the challenger" in caplog.text)
        for _ in range(5):
            assert len(engine.predict(engine.require_loaded(), ROWS)) == 3
        BusyPredictor.may_go_on.set()
        until(lambda: figure(engine, "shadow_inputs_total", outcome="agreed") >= 3)
        assert figure(engine, "shadow_inputs_total", outcome="dropped") >= 9


def test_a_challenger_that_fails_is_let_go(bundle, bundle_folder, tmp_path, caplog):
    caplog.set_level("INFO")

    class Failing(Predictor):
        def predict(self, rows):
            if len(rows) > 1:  # not the example of the warm-up
                raise KeyError("a column")
            return super().predict(rows)

    challenger = source_of(bundle_folder, Failing)
    with engine_of(source_of(bundle_folder), prepare=beside(challenger)) as engine:
        until(lambda: "is the challenger" in caplog.text)
        for _ in range(3):
            engine.predict(engine.require_loaded(), ROWS)
            until(lambda: figure(engine, "shadow_inputs_total", outcome="failed") == 3)
    assert caplog.text.count("cannot be the challenger: 'a column'") == 1


def test_differences_of_numbers_are_measured(bundle, tmp_path, caplog):
    caplog.set_level("INFO")
    pair = [other(of_numbers(bundle), seed) for seed in (1, 2)]
    folders = [tmp_path / one.version for one in pair]
    for one, folder in zip(pair, folders, strict=True):
        one.save(folder)
    served, challenger = map(source_of, folders)
    ours, theirs = (Predictor(one).predict(ROWS) for one in pair)
    total = sum(abs(a.prediction - b.prediction) for a, b in zip(ours, theirs, strict=True))
    with engine_of(served, prepare=beside(challenger)) as engine:
        until(lambda: "is the challenger" in caplog.text)
        engine.predict(engine.require_loaded(), ROWS)
        until(lambda: figure(engine, "shadow_difference_count") == 3)
        assert figure(engine, "shadow_difference_sum") == pytest.approx(total, rel=1e-4)

"""A challenger predicts a share of the inputs, and no client sees its answers."""

from collections.abc import Callable
from functools import partial

import pytest
from toy_project.deployment.shadow import Shadow
from toy_project.serving.engine import Engine
from toy_project.serving.predictor import Predictor
from toy_project.serving.source import Source

from .test_swap import ROWS, BusyPredictor, engine_of, figure, of_numbers, other, source_of, until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server


def beside(source: Source) -> Callable[[Engine], Shadow]:
    """Return what lets an engine send all batches to a challenger too."""
    return lambda engine: Shadow(source, engine, share=1.0)


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

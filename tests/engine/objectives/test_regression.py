import json
import math
from datetime import date

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)
from torch.nn import functional
from toy_project.errors import ProjectError
from toy_project.objectives.regression import (
    Loss,
    NumberPrediction,
    Regression,
    RegressionConfig,
    r2,
)
from toy_project.rules import ConfigError

CONFIG = RegressionConfig()
ROWS = [{"target": value} for value in ("1.5", 2, 4.0, " -3e2 ")]
SEVERAL = [{"target": {"size": i, "price": str(1000 * i * i)}} for i in range(5)]


def test_numbers_may_be_written_as_text_and_come_back():
    objective = Regression.fit(ROWS, CONFIG)
    assert (objective.targets, objective.num_outputs) == (("",), 1)
    targets = objective.encode(ROWS)
    assert (targets.dtype, targets.shape) == (np.float32, (4, 1))
    assert objective.actual(targets) == pytest.approx([1.5, 2, 4, -300])
    assert objective.predictions(targets[:1]) == [NumberPrediction(pytest.approx(1.5))]


def test_targets_are_standardised():
    targets = Regression.fit(SEVERAL, CONFIG).encode(SEVERAL)
    assert targets.mean(axis=0).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert targets.std(axis=0).tolist() == pytest.approx([1, 1])


def test_several_targets_have_their_names():
    objective = Regression.fit(SEVERAL, CONFIG)
    assert objective.num_outputs == 2
    turned = [{"target": {"price": "4000", "size": 2}}]
    [actual] = objective.actual(objective.encode(turned))
    assert actual == pytest.approx({"size": 2, "price": 4000})
    [prediction] = objective.predictions(objective.encode(turned))
    assert prediction.prediction == actual
    assert objective.about() == {"targets": ["size", "price"]}


def test_one_column_in_a_list_is_answered_by_name():
    rows = [{"target": {"size": i}} for i in range(3)]
    objective = Regression.fit(rows, CONFIG)
    assert objective.predictions(objective.encode(rows))[2].prediction == {"size": 2}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("size", [1e-12, 1e-3, 1.0, 1e6, 1e29])
@pytest.mark.parametrize("mean", [0.0, 1.0, -1e4])
def test_numbers_of_any_size_come_back_and_are_measured_in_their_unit(seed, size, mean):
    random = np.random.default_rng(seed)
    numbers = size * (mean + random.standard_normal(random.integers(2, 20)))
    rows = [{"target": number} for number in numbers]
    objective = Regression.fit(iter(rows), CONFIG)
    targets = objective.encode(rows)
    assert objective.actual(targets) == pytest.approx(numbers, abs=1e-5 * objective.scales[0])
    figures = objective.measure(targets, targets + 1)
    assert figures["rmse"] == pytest.approx(objective.scales[0], rel=1e-4)
    assert figures["mae"] == pytest.approx(objective.scales[0], rel=1e-4)


def test_an_answer_has_the_digits_of_its_target():
    rows = [{"target": 1_700_000_000 + second} for second in range(1000)]
    objective = Regression.fit(rows, CONFIG)
    assert objective.actual(objective.encode(rows[:3])) == [row["target"] for row in rows[:3]]
    small = [{"target": 1e-9 * i} for i in range(10)]
    objective = Regression.fit(small, CONFIG)
    assert objective.actual(objective.encode(small))[3] == pytest.approx(3e-9, rel=1e-5)


def test_zero_has_no_sign():
    objective = Regression.fit([{"target": number} for number in (-1, 0, 1)], CONFIG)
    assert list(map(str, objective.actual(np.array([[-1e-9]])))) == ["0.0"]


@pytest.mark.parametrize("seed", range(20))
def test_the_metrics_are_those_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    targets, predicted = random.normal(5, 3, (2, random.integers(2, 40), random.integers(1, 4)))
    figures = {name: one.function(targets, predicted) for name, one in Regression.metrics.items()}
    assert figures == pytest.approx(
        {
            "rmse": root_mean_squared_error(targets, predicted),
            "mae": mean_absolute_error(targets, predicted),
            "r2": r2_score(targets, predicted),
        }
    )


def test_r2_of_equal_targets_is_that_of_scikit_learn():
    for predicted in (np.full((3, 1), 2.0), np.array([[2.0], [2.0], [3.0]])):
        assert r2(np.full((3, 1), 2.0), predicted) == r2_score([2, 2, 2], predicted)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (RegressionConfig(), functional.mse_loss),
        (RegressionConfig(loss=Loss.mae), functional.l1_loss),
        (RegressionConfig(loss=Loss.huber), functional.huber_loss),
    ],
)
def test_the_loss_is_of_standard_deviations(settings, expected):
    objective = Regression.fit(SEVERAL, settings)
    targets = torch.from_numpy(objective.encode(SEVERAL))
    outputs = torch.randn(targets.shape, generator=torch.Generator().manual_seed(0))
    assert objective.loss(outputs, targets) == expected(outputs, targets)
    doubled = [
        {"target": {name: 2 * float(x) for name, x in row["target"].items()}} for row in SEVERAL
    ]
    again = Regression.fit(doubled, settings)
    assert again.loss(outputs, torch.from_numpy(again.encode(doubled))) == pytest.approx(
        objective.loss(outputs, targets).item()
    )


@pytest.mark.parametrize("rows", [ROWS, SEVERAL])
def test_json_keeps_it(rows):
    objective = Regression.fit(rows, RegressionConfig(loss=Loss.huber))
    loaded = Regression.from_dict(json.loads(json.dumps(objective.to_dict())))
    assert loaded == objective
    assert np.array_equal(loaded.encode(rows), objective.encode(rows))


@pytest.mark.parametrize(
    "value",
    ["", "many", "1,5", "1_000", "nan", "-inf", None, math.nan, 1e300, 10**400, date.min, [1]],
)
def test_what_is_no_finite_number_is_refused(value):
    message = f"the target must be a number, got {value!r:.100}"
    assert Regression.problem({"target": value}, CONFIG) == message
    named = {"target": {"size": 1, "price": value}}
    assert Regression.problem(named, CONFIG) == message.replace("the target", "price")


@pytest.mark.parametrize("value", ["1", " 1e-3", -1.5, 7, True])
def test_a_number_is_accepted(value):
    assert Regression.problem({"target": value}, CONFIG) == ""


def test_targets_that_are_all_the_same_are_refused():
    with pytest.raises(ProjectError, match=r"^price is 3 in every row of the training split"):
        Regression.fit([{"target": {"size": i, "price": 3}} for i in range(3)], CONFIG)
    for number in range(1, 10):
        with pytest.raises(ProjectError, match=r"^the target is 0.1 in every row"):
            Regression.fit([{"target": 0.1}] * number, CONFIG)


@pytest.mark.parametrize("scales", [(0.0,), (-1.0,), (1.0, math.nan)])
def test_a_bundle_with_other_scales_is_refused(scales):
    with pytest.raises(ConfigError, match=r"objective.scales must be > 0"):
        Regression(("",), (0.0,), scales)


def test_errors_are_told_in_the_unit_of_the_target():
    objective = Regression.fit(SEVERAL, CONFIG)
    targets = objective.encode(SEVERAL)
    shifted = targets + np.array([0.5, 0.0])
    [table] = objective.tables(targets, shifted).values()
    names = [row[0] for row in table.rows]
    assert names == ["size", "price"]
    assert float(table.rows[0][1]) == pytest.approx(0.5 * objective.scales[0], rel=1e-3)
    assert float(table.rows[1][1]) < 0.01
    assert "size (mean 2, standard deviation 1.414)" in objective.summary()
    figures = objective.figures(targets, {"model": shifted})
    assert set(figures) == {"predicted", "residuals"}
    for figure in figures.values():
        titles = [axes.get_title(loc="left") for axes in figure.axes if axes.axison]
        assert titles == ["size", "price"]

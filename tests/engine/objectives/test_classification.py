import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional
from toy_project.errors import ProjectError
from toy_project.objectives.classification import (
    Classification,
    ClassificationConfig,
    LabelPrediction,
    accuracy,
    macro_f1,
)
from toy_project.rules import ConfigError

ROWS = [{"label": label} for label in "aabc"]
OUTPUTS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(8) % 3


def one_hot(indices: np.ndarray, size: int) -> np.ndarray:
    return np.eye(size)[indices]


def test_accuracy_and_macro_f1_by_hand():
    targets, scores = np.array([0, 0, 0, 1]), one_hot(np.array([0, 0, 1, 1]), 2)
    assert accuracy(targets, scores) == 0.75
    assert macro_f1(targets, scores) == pytest.approx((0.8 + 2 / 3) / 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_metrics_are_those_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    targets, predicted = random.integers(0, 6, (2, random.integers(1, 40)))
    scores = one_hot(predicted, 6)
    assert accuracy(targets, scores) == pytest.approx(accuracy_score(targets, predicted))
    expected = f1_score(targets, predicted, average="macro", zero_division=0)
    assert macro_f1(targets, scores) == pytest.approx(expected)


def test_labels_are_in_order_and_predictions_name_them():
    objective = Classification.fit(ROWS, ClassificationConfig())
    assert (objective.labels, objective.num_outputs) == (("a", "b", "c"), 3)
    assert objective.encode(ROWS).tolist() == [0, 0, 1, 2]
    scores = torch.tensor([[0.1, 0.7, 0.2]])
    assert objective.predictions(scores) == [LabelPrediction("b", 0.7)]
    assert Classification.from_dict(objective.to_dict()) == objective


def test_one_label_is_not_enough():
    with pytest.raises(ProjectError, match=r"expected two labels or more, found \['a'\]"):
        Classification.fit(ROWS[:2], ClassificationConfig())


def test_label_smoothing_pulls_towards_all_labels():
    smooth = Classification(("a", "b", "c"), label_smoothing=0.3)
    even = -OUTPUTS.log_softmax(-1).mean(-1)
    own = functional.cross_entropy(OUTPUTS, TARGETS, reduction="none")
    assert smooth.loss(OUTPUTS, TARGETS) == pytest.approx((0.7 * own + 0.3 * even).mean().item())
    plain = Classification(("a", "b", "c")).loss(OUTPUTS, TARGETS)
    assert plain == pytest.approx(own.mean().item())


@pytest.mark.parametrize(
    ("weights", "expected"),
    [("balanced", [2 / 3, 4 / 3, 4 / 3]), ({"a": 1, "b": 2, "c": 4}, [0.5, 1.0, 2.0])],
)
def test_weights_make_labels_count_and_leave_the_size_of_the_loss(weights, expected):
    objective = Classification.fit(ROWS, ClassificationConfig(class_weights=weights))
    assert objective.weights == pytest.approx(expected)
    losses = functional.cross_entropy(OUTPUTS, TARGETS, reduction="none")
    by_hand = (losses * torch.tensor(expected)[TARGETS]).mean().item()
    assert objective.loss(OUTPUTS, TARGETS) == pytest.approx(by_hand)
    halves = [objective.loss(OUTPUTS[half], TARGETS[half]) for half in (slice(4), slice(4, 8))]
    assert sum(halves) / 2 == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, r"objective.label_smoothing must be in \[0, 1\), got 1.0"),
        ({"labels": ["a"]}, "objective.labels must be empty or two and more"),
        ({"class_weights": "even"}, "objective.class_weights must be none, balanced or"),
        ({"class_weights": {"a": -1}}, "objective.class_weights must be none, balanced or"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ClassificationConfig(**settings)


def test_weights_must_be_of_the_labels_there_are():
    with pytest.raises(ConfigError, match=r"objective.class_weights must be weights of a, b, c"):
        Classification.fit(ROWS, ClassificationConfig(class_weights={"a": 1, "x": 2}))


def test_a_metric_says_which_way_is_better():
    assert Classification.sign("accuracy", setting="training.monitor") == 1
    assert Classification.sign("loss", setting="training.monitor") == -1
    with pytest.raises(ConfigError, match=r"training.monitor must be one of .*, loss, got 'f1'"):
        Classification.sign("f1", setting="training.monitor")

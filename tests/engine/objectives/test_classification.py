import math

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    roc_auc_score,
)
from torch.nn import functional
from toy_project.errors import ProjectError
from toy_project.objectives.classification import (
    TEMPERATURES,
    Classification,
    ClassificationConfig,
    LabelPrediction,
    Loss,
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    ece,
    macro_f1,
)
from toy_project.rules import ConfigError

ROWS = [{"label": label} for label in "aabc"]
OUTPUTS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(8) % 3


def one_hot(indices: np.ndarray, size: int) -> np.ndarray:
    return np.eye(size)[indices]


def test_the_most_probable_labels_are_told():
    labels = tuple(f"label {number}" for number in range(30))
    scores = np.arange(1, 31, dtype=np.float32)[:, None].T / 465
    objective = Classification(labels)
    [best] = objective.predictions(scores)
    found = objective.detailed(best, scores[0])
    assert found[:2] == best
    assert list(found.confidences) == [*labels[:9:-1]]
    assert [*found.confidences.values()] == [round(n / 465, 6) for n in range(30, 10, -1)]


def test_of_labels_that_are_as_probable_the_predicted_one_is_first():
    objective, scores = Classification(("a", "b", "c")), np.array([[0.2, 0.4, 0.4]])
    [best] = objective.predictions(scores)
    assert list(objective.detailed(best, scores[0]).confidences) == ["b", "c", "a"]


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


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("are_tied", [False, True])
@pytest.mark.parametrize("num_labels", [2, 3, 8])
def test_the_metrics_of_scores_are_those_of_scikit_learn(seed, are_tied, num_labels):
    random = np.random.default_rng(seed)
    targets = np.append(np.arange(num_labels), random.integers(0, num_labels, 60))
    scores = random.dirichlet(np.full(num_labels, 0.3), len(targets))
    if are_tied:
        scores = (scores * 4).round() + 1
        scores /= scores.sum(axis=1, keepdims=True)
    hot = one_hot(targets, num_labels)
    figures = Classification(tuple("abcdefgh"[:num_labels])).measure(targets, scores)
    predicted = scores.argmax(axis=1)
    assert figures == pytest.approx(
        {
            "accuracy": accuracy_score(targets, predicted),
            "macro_f1": f1_score(targets, predicted, average="macro", zero_division=0),
            "balanced_accuracy": balanced_accuracy_score(targets, predicted),
            "auroc": roc_auc_score(hot, scores, average="macro"),
            "average_precision": average_precision_score(hot, scores, average="macro"),
            "log_loss": log_loss(targets, scores, labels=range(num_labels)),
            "ece": calibration_error(targets, scores),
        }
    )


def calibration_error(targets: np.ndarray, scores: np.ndarray) -> float:
    """By the definition of Guo et al., a bin after the other."""
    confidences, right = scores.max(axis=1), scores.argmax(axis=1) == targets
    total = 0.0
    for low in range(15):
        there = (confidences >= low / 15) & ((confidences < (low + 1) / 15) | (low == 14))
        if there.any():
            total += there.mean() * abs(right[there].mean() - confidences[there].mean())
    return total


def test_whoever_is_sure_and_wrong_loses_as_much_in_float32_as_in_float64():
    targets, scores = np.array([0, 1]), np.array([[0.0, 1.0], [1e-12, 1.0]])
    losses = [
        Classification(("a", "b")).measure(targets, scores.astype(kind))["log_loss"]
        for kind in (np.float32, np.float64)
    ]
    assert losses == pytest.approx([-math.log(2**-52) / 2] * 2)


def test_metrics_of_rows_of_which_some_labels_are_missing():
    targets, scores = np.array([0, 0, 2]), one_hot(np.array([0, 2, 2]), 4)
    assert balanced_accuracy(targets, scores) == 0.75
    assert auroc(targets, scores) == pytest.approx(0.75)
    assert average_precision(targets, scores) == pytest.approx((0.5 + 0.5 * 2 / 3 + 0.5) / 2)


def test_metrics_of_rows_that_all_have_one_label_are_those_of_chance():
    targets, scores = np.zeros(3, int), one_hot(np.array([0, 2, 2]), 4)
    assert auroc(targets, scores) == 0.5
    assert average_precision(targets, scores) == 1


def test_who_is_sure_and_right_is_calibrated():
    targets = np.arange(4) % 2
    assert ece(targets, one_hot(targets, 2)) == 0
    assert ece(targets, one_hot(1 - targets, 2)) == 1


def test_labels_are_in_order_and_predictions_name_them():
    objective = Classification.fit(ROWS, ClassificationConfig())
    assert (objective.labels, objective.num_outputs) == (("a", "b", "c"), 3)
    assert objective.encode(ROWS).tolist() == [0, 0, 1, 2]
    scores = np.array([[0.1, 0.7, 0.2]])
    assert objective.predictions(scores) == [LabelPrediction("b", 0.7)]
    assert Classification.from_dict(objective.to_dict()) == objective


def test_labels_may_be_numbers():
    objective = Classification.fit(
        [{"label": value} for value in (0, 1, 1)], ClassificationConfig()
    )
    assert objective.labels == ("0", "1")
    assert objective.encode([{"label": 1}, {"label": "0"}]).tolist() == [1, 0]
    assert objective.problem({"label": 0}, ClassificationConfig()) == ""
    for missing in ("", None):
        assert objective.problem({"label": missing}, ClassificationConfig()) == "the label is empty"


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


@pytest.mark.parametrize("gamma", [1.0, 2.0, 5.0])
def test_the_focal_loss_is_that_of_lin(gamma):
    settings = ClassificationConfig(loss=Loss.focal, gamma=gamma)
    objective = Classification.fit(ROWS, settings)
    own = OUTPUTS.softmax(-1)[range(8), TARGETS]
    by_hand = (-((1 - own) ** gamma) * own.log()).mean().item()
    assert objective.loss(OUTPUTS, TARGETS) == pytest.approx(by_hand)
    sure = (100.0 * torch.eye(3))[TARGETS].requires_grad_()
    objective.loss(sure, TARGETS).backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


def test_gamma_is_of_the_focal_loss_only():
    objective = Classification.fit(ROWS, ClassificationConfig(gamma=5.0))
    plain = functional.cross_entropy(OUTPUTS, TARGETS)
    assert objective.loss(OUTPUTS, TARGETS) == pytest.approx(plain.item())


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0, 8.0])
def test_the_temperature_undoes_the_scale_of_logits(scale):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 3, generator=draw)
    targets = torch.multinomial(logits.softmax(-1), 1, generator=draw).squeeze(-1).numpy()
    outputs = scale * logits.numpy()
    objective = Classification(("a", "b", "c"), calibrate=True)
    tuned = objective.tuned(outputs, targets)
    assert tuned.temperature == pytest.approx(scale, rel=0.03)
    before, after = (one.evaluate(outputs, targets) for one in (objective, tuned))
    assert after["log_loss"] <= before["log_loss"]
    assert after["ece"] < 0.02
    assert after["accuracy"] == before["accuracy"]
    assert after["loss"] == before["loss"]
    assert tuned.untuned() == objective
    assert Classification.from_dict(tuned.to_dict()) == tuned


def test_the_temperature_is_the_best_there_is():
    tuned = Classification(("a", "b", "c"), calibrate=True).tuned(OUTPUTS.numpy(), TARGETS.numpy())

    def loss(temperature: float) -> float:
        return functional.cross_entropy(OUTPUTS.double() / temperature, TARGETS).item()

    assert loss(tuned.temperature) < min(
        loss(0.99 * tuned.temperature), loss(1.01 * tuned.temperature)
    )


def test_the_temperature_stays_in_its_range():
    objective = Classification(("a", "b", "c"), calibrate=True)
    targets = TARGETS.numpy()
    right = np.eye(3)[targets]
    assert objective.tuned(right, targets).temperature == TEMPERATURES[0]
    assert objective.tuned(-right, targets).temperature == TEMPERATURES[1]
    assert Classification(("a", "b", "c")).tuned(right, targets).temperature == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, r"objective.label_smoothing must be in \[0, 1\), got 1.0"),
        ({"gamma": 0.5}, "objective.gamma must be >= 1, got 0.5"),
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
    ways = {name: Classification.sign(name) for name in (*Classification.metrics, "loss")}
    assert {name for name, sign in ways.items() if sign == -1} == {"log_loss", "ece", "loss"}


def test_a_metric_is_chosen_or_the_first():
    assert Classification.chosen("loss", setting="training.monitor") == "loss"
    assert Classification.chosen(None, setting="training.monitor") == "accuracy"
    message = r"training.monitor must be null or one of accuracy, .*, loss, got 'f1'"
    with pytest.raises(ConfigError, match=message):
        Classification.chosen("f1", setting="training.monitor")

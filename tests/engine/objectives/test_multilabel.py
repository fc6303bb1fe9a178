import json

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch.nn import functional
from toy_project.errors import ProjectError
from toy_project.objectives.multilabel import (
    LabelsPrediction,
    Multilabel,
    MultilabelConfig,
    best_threshold,
    labels_of,
)
from toy_project.rules import ConfigError

CONFIG = MultilabelConfig()
ROWS = [{"labels": labels} for labels in (["b", "a"], [], "c", "a; b;", "", ("c",))]
COLUMNS = [
    {"labels": {"red": 1, "blue": "0", "green": True}},
    {"labels": {"red": False, "blue": "1", "green": 0.0}},
]
LABELS = ("a", "b", "c")


def example(seed: int, num_rows: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Targets and outputs; each label has a row that has it."""
    random = np.random.default_rng(seed)
    targets = random.random((num_rows, 3)) < 0.3
    targets[:3] |= np.eye(3, dtype=bool)
    return targets, (random.standard_normal((num_rows, 3)) + targets).astype(np.float32)


def test_labels_come_as_lists_as_text_or_as_columns():
    assert [labels_of(row) for row in ROWS] == [["b", "a"], [], ["c"], ["a", "b"], [], ["c"]]
    assert labels_of({"labels": ";"}) == []
    assert [labels_of(row) for row in COLUMNS] == [["red", "green"], ["blue"]]


def test_labels_are_in_order_and_predictions_name_them():
    objective = Multilabel.fit(iter(ROWS), CONFIG)
    assert (objective.labels, objective.num_outputs) == (LABELS, 3)
    targets = objective.encode(ROWS)
    expected = [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert (targets.dtype, targets.tolist()) == (bool, expected)
    assert objective.actual(targets)[:3] == [["a", "b"], [], ["c"]]
    [prediction] = objective.predictions(np.array([[0.25, 0.5, 0.75]]))
    assert prediction == LabelsPrediction(["b", "c"], {"a": 0.25, "b": 0.5, "c": 0.75})
    assert Multilabel.fit(COLUMNS, CONFIG).labels == ("blue", "green", "red")


@pytest.mark.parametrize("seed", range(20))
def test_the_metrics_are_those_of_scikit_learn(seed):
    targets, outputs = example(seed)
    objective = Multilabel(LABELS, (0.3, 0.5, 0.7))
    scores = objective.scores(outputs)
    predicted = scores.astype(np.float64) >= objective.thresholds
    assert objective.measure(targets, scores) == pytest.approx(
        {
            "map": average_precision_score(targets, scores, average="macro"),
            "micro_f1": f1_score(targets, predicted, average="micro"),
            "macro_f1": f1_score(targets, predicted, average="macro"),
        }
    )


def test_metrics_where_nothing_is_predicted_or_actual():
    objective = Multilabel(LABELS, (0.5,) * 3)
    nothing = np.zeros((4, 3), dtype=bool)
    assert set(objective.measure(nothing, np.zeros((4, 3))).values()) == {0.0}
    one = nothing.copy()
    one[:, 1] = True
    figures = objective.measure(one, one.astype(float))
    assert figures == pytest.approx({"map": 1, "micro_f1": 1, "macro_f1": 1 / 3})


@pytest.mark.parametrize("seed", range(10))
def test_the_chosen_thresholds_have_the_best_f1(seed):
    targets, outputs = example(seed)
    tuned = Multilabel(LABELS, (0.5,) * 3).tuned(outputs, targets)
    scores = tuned.scores(outputs)
    for label, threshold in enumerate(tuned.thresholds):
        actual, own = targets[:, label], scores[:, label]
        best = max(f1_score(actual, own >= cut) for cut in own)
        assert f1_score(actual, own >= threshold) == pytest.approx(best)
    assert tuned.untuned() == Multilabel(LABELS, (0.5,) * 3)


@pytest.mark.parametrize("seed", range(50))
def test_a_threshold_is_between_scores(seed):
    random = np.random.default_rng(seed)
    actual, scores = random.integers(0, 2, (2, random.integers(1, 12)))
    actual, scores = actual.astype(bool), (scores / random.integers(1, 4)).astype(np.float32)
    threshold = best_threshold(actual, scores)
    assert 0 <= threshold <= 1
    if not actual.any():
        assert threshold == 0.5
    else:
        own = f1_score(actual, scores >= threshold)
        assert own >= max(f1_score(actual, scores >= cut) for cut in scores) - 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_a_threshold_is_between_neighbours_in_float32(seed):
    low = np.random.default_rng(seed).random(1, dtype=np.float32)
    scores = np.concatenate([low, np.nextafter(low, np.float32(1))])
    threshold = best_threshold(np.array([False, True]), scores)
    assert scores[0].item() < threshold < scores[1].item()


def test_the_loss_is_binary_cross_entropy():
    targets, outputs = map(torch.from_numpy, example(0))
    expected = functional.binary_cross_entropy_with_logits(outputs, targets.float())
    assert Multilabel(LABELS, (0.5,) * 3).loss(outputs, targets) == expected


def test_json_keeps_it():
    targets, outputs = example(0)
    objective = Multilabel.fit(ROWS, CONFIG).tuned(outputs, targets)
    assert Multilabel.from_dict(json.loads(json.dumps(objective.to_dict()))) == objective


def test_what_cannot_be_read_is_refused():
    message = "the labels are missing; write ; for a row without labels"
    assert Multilabel.problem({"labels": None}, CONFIG) == message
    assert Multilabel.problem({"labels": ";"}, CONFIG) == ""
    bad = {"labels": {"red": 1, "blue": 2}}
    assert Multilabel.problem(bad, CONFIG) == "blue must be 0 or 1, got 2"
    missing = {"labels": {"red": None}}
    assert Multilabel.problem(missing, CONFIG) == "red must be 0 or 1, got None"
    assert not any(Multilabel.problem(row, CONFIG) for row in [*ROWS, *COLUMNS])


def test_a_label_that_training_lacks_is_refused_or_ignored():
    objective = Multilabel.fit(ROWS, CONFIG)
    message = "no row of the training split has the label 'x'; objective.labels can name"
    with pytest.raises(ProjectError, match=message):
        objective.encode([{"labels": "a;x"}])
    chosen = Multilabel.fit(ROWS, MultilabelConfig(labels=["c", "a"]))
    assert chosen.labels == ("a", "c")
    assert chosen.encode([{"labels": "a;b;x"}]).tolist() == [[True, False]]
    with pytest.raises(ProjectError, match=r"objective.labels has 'x', which no training row has"):
        Multilabel.fit(ROWS, MultilabelConfig(labels=["a", "x"]))


def test_one_label_is_not_enough():
    with pytest.raises(ProjectError, match=r"expected two labels or more, found \['a'\]"):
        Multilabel.fit([{"labels": "a"}], CONFIG)
    with pytest.raises(ConfigError, match=r"objective.labels must be empty or two and more"):
        MultilabelConfig(labels=["a"])


@pytest.mark.parametrize("thresholds", [(0.5, 0.5, 1.5), (0.5, 0.5, float("nan"))])
def test_a_bundle_with_other_thresholds_is_refused(thresholds):
    with pytest.raises(ConfigError, match=r"objective.thresholds must be in \[0, 1\]"):
        Multilabel(LABELS, thresholds)


def test_each_label_has_a_row_and_bars():
    targets, outputs = example(0)
    objective = Multilabel(LABELS, (0.5,) * 3).tuned(outputs, targets)
    scores = objective.scores(outputs)
    [table] = objective.tables(targets, scores).values()
    assert [row[0] for row in table.rows] == list(LABELS)
    assert [row[-1] for row in table.rows] == [f"{one:.2f}" for one in objective.thresholds]
    baseline = np.full_like(scores, 0.4)
    figures = objective.figures(targets, {"model": scores, "frequency": baseline})
    shown = {
        name: [text.get_text() for text in figure.axes[0].texts] for name, figure in figures.items()
    }
    f1 = f1_score(targets, objective._predicted(scores), average=None)
    # The baseline's labels have the threshold that they would have without a model: 0.5.
    assert shown["f1"] == [f"{one:.2f}" for one in [*f1, 0, 0, 0]]
    precision = average_precision_score(targets, scores, average=None)
    shares = targets.mean(axis=0).tolist()
    assert shown["average_precision"] == [f"{one:.2f}" for one in [*precision, *shares]]

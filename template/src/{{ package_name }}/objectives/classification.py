"""Classification: one of several labels for each row."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np

from ..data.rows import Values
from ..errors import ProjectError
from ..rules import Checked, Fraction, NonNegativeFloat, PositiveFloat, Rule, require
from .base import Metric, Objective, Table, label_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

INVERSE_REGULARISATION = 10.0
"""`C` of logistic regression; best of 1, 3, 10 and 30 on the validation split of the docstrings,
which are the default data of projects of texts."""

MAX_CONFIDENCES = 20
"""The most labels in `confidences`, so that an answer stays small however many labels there are."""
NUM_BINS = 15
"""Bins of the confidence in the expected calibration error."""
TEMPERATURES = 0.05, 20.0
"""The range in which calibration looks for the temperature."""

LABELS = Rule(
    "two or more names that differ",
    lambda labels: len(labels) >= 2 and all(labels) and len(set(labels)) == len(labels),
)


class Loss(StrEnum):
    """What training minimizes."""

    cross_entropy = "cross_entropy"
    focal = "focal"
    """Cross-entropy in which rows that are easy count less: Lin et al. 2017, arXiv:1708.02002."""


@dataclass(frozen=True)
class ClassificationConfig(Checked, section="objective"):
    """The settings of the loss and the labels."""

    name: str = "classification"
    """This file."""
    labels: list[str] = field(default_factory=list)
    """The allowed labels; empty for every label in the data."""
    loss: Loss = Loss.cross_entropy
    """What training minimizes."""
    gamma: Annotated[float, Rule(">= 1", lambda value: value >= 1)] = 2.0
    """How much less easy rows count in the focal loss, by (1 - p)^gamma."""
    calibrate: bool = False
    """Divide the logits by the temperature that gives the lowest log loss on validation."""
    label_smoothing: Fraction = 0.0
    """Share of the target spread evenly over all labels, in [0, 1)."""
    class_weights: str | dict[str, int | float] = "none"
    """Weight of each label in the loss: `none`, `balanced`, or a mapping from label to weight."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.labels) != 1, "objective.labels", "empty or two and more", self.labels)
        weights = self.class_weights
        is_known = weights in ("none", "balanced")
        is_known |= isinstance(weights, dict) and all(weight > 0 for weight in weights.values())
        require(is_known, "objective.class_weights", "none, balanced or weights > 0", weights)


class LabelPrediction(NamedTuple):
    """The most probable label."""

    prediction: str
    confidence: float
    """The probability that the model gives to the label, to six decimals."""


class DetailedPrediction(NamedTuple):
    """The most probable label, and how probable others are."""

    prediction: str
    confidence: float
    confidences: dict[str, float]
    """The probability of each label, the most probable first; of `MAX_CONFIDENCES` at most."""


def accuracy(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of rows whose label is right."""
    return float((targets == scores.argmax(axis=-1)).mean())


def macro_f1(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return F1 averaged over labels with equal weight; 0 for a label that is never right.

    Equal to scikit-learn's `f1_score`, which takes longer to import than PyTorch.
    """
    predicted = scores.argmax(axis=-1)
    size = scores.shape[-1]
    hits = np.bincount(targets[targets == predicted], minlength=size)
    sizes = np.bincount(targets, minlength=size) + np.bincount(predicted, minlength=size)
    return float((2 * hits / np.maximum(sizes, 1))[sizes > 0].mean())


def balanced_accuracy(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of rows that are right, averaged over the labels that occur."""
    sizes = np.bincount(targets)
    hits = np.bincount(targets, targets == scores.argmax(axis=-1))
    return float((hits[sizes > 0] / sizes[sizes > 0]).mean())


def auroc(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve of each label against the rest, averaged over labels.

    It is computed from the ranks of the scores: Hanley & McNeil 1982. If all rows have one label,
    which cannot be ranked, it is 0.5, as for scores that say nothing.
    """
    labels = np.unique(targets)
    if len(labels) < 2:
        return 0.5
    areas = []
    for label in labels:
        column = scores[:, label]
        own, ordered = column[targets == label], np.sort(column)
        ranks = (ordered.searchsorted(own) + ordered.searchsorted(own, "right") + 1) / 2
        num_pairs = len(own) * (len(column) - len(own))
        areas.append((ranks.sum() - len(own) * (len(own) + 1) / 2) / num_pairs)
    return float(np.mean(areas))


def average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the average precision of each label against the rest, averaged over labels."""
    each = [label_precision(targets == label, scores[:, label]) for label in np.unique(targets)]
    return float(np.mean(each))


def label_precision(actual: np.ndarray, scores: np.ndarray) -> float:
    """Return the average precision of a label: the mean over its rows of the precision there."""
    _, hits, above = rows_above(actual, scores)
    return float((hits / above).sum() / max(len(hits), 1))


def rows_above(actual: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the scores of a label's rows, ascending, and how many rows score at least as much.

    Both are [label's rows]; the second number is of the label's rows, the third of all rows.
    """
    own, ordered = np.sort(scores[actual]), np.sort(scores)
    return own, len(own) - own.searchsorted(own), len(ordered) - ordered.searchsorted(own)


def log_loss(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean cross-entropy in nats, at most 36 of a row, whatever the scores' type is."""
    own = np.take_along_axis(scores, targets[:, None], axis=-1)
    return float(-np.log(own.clip(np.finfo(np.float64).eps)).mean())


def ece(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the expected calibration error: Guo et al. 2017, arXiv:1706.04599.

    It is the difference of accuracy and mean confidence in bins of the confidence, averaged.
    """
    confidences = scores.max(axis=-1)
    bins = (confidences * NUM_BINS).astype(int)
    gaps = np.bincount(bins, (targets == scores.argmax(axis=-1)) - confidences)
    return float(np.abs(gaps).sum() / len(targets))


@dataclass(frozen=True)
class Classification(Objective):
    """Cross-entropy of one label for each row."""

    settings: ClassVar = ClassificationConfig
    columns: ClassVar = ("label",)
    metrics: ClassVar = {
        "accuracy": Metric(accuracy),
        "macro_f1": Metric(macro_f1),
        "balanced_accuracy": Metric(balanced_accuracy),
        "auroc": Metric(auroc),
        "average_precision": Metric(average_precision),
        "log_loss": Metric(log_loss, higher_is_better=False),
        "ece": Metric(ece, higher_is_better=False),
    }
    of_predictions: ClassVar = ("accuracy", "macro_f1", "balanced_accuracy")
    prediction: ClassVar = LabelPrediction
    detailed_prediction: ClassVar = DetailedPrediction

    labels: Annotated[tuple[str, ...], LABELS]
    """In the order of the outputs."""
    label_smoothing: Fraction = 0.0
    weights: tuple[float, ...] | None = None
    """Weight of each label in the loss; `None` for equal weights."""
    gamma: NonNegativeFloat = 0.0
    """Of the focal loss; 0 for cross-entropy."""
    calibrate: bool = False
    temperature: PositiveFloat = 1.0
    """Logits are divided by it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.weights or [1.0] * len(self.labels)
        are_good = len(weights) == len(self.labels) and all(0 < one < math.inf for one in weights)
        require(are_good, "objective.weights", "one > 0 for each label", weights)

    def without_doubt(self, targets: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the targets, and 1 for the label of each prediction: [rows, labels]."""
        return targets, np.eye(len(self.labels))[predicted]

    @staticmethod
    def problem(values: Values, settings: ClassificationConfig) -> str:
        """Return an error message if the label is empty or not allowed, else an empty string."""
        label, allowed = label_of(values), settings.labels
        if not label:
            return "the label is empty"
        if allowed and label not in allowed:
            return f"unknown label {label!r}; objective.labels are {sorted(allowed)}"
        return ""

    @staticmethod
    def stratum(values: Values) -> str:
        """Return the label."""
        return label_of(values)

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: ClassificationConfig) -> Self:
        """Return the objective with the labels of `rows`, in alphabetical order.

        Raises:
            ProjectError: There are fewer than two, or a weight is of a label that does not occur.
        """
        counts = Counter(map(label_of, rows))
        labels = tuple(sorted(counts))
        if len(labels) < 2:
            raise ProjectError(f"expected two labels or more, found {list(labels)}")
        weights = _weights(counts, settings.class_weights)
        gamma = settings.gamma if settings.loss is Loss.focal else 0.0
        return cls(labels, settings.label_smoothing, weights, gamma, settings.calibrate)

    def tuned(self, outputs: np.ndarray, targets: np.ndarray) -> Self:
        """Return the objective with the temperature that suits the outputs, if it calibrates."""
        if not self.calibrate:
            return self
        return replace(self, temperature=fitted_temperature(outputs, targets))

    def untuned(self) -> Self:
        """Return the objective with a temperature of 1."""
        return replace(self, temperature=1.0)

    @property
    def num_outputs(self) -> int:
        """A logit for each label."""
        return len(self.labels)

    def encode(self, rows: Iterable[Values]) -> np.ndarray:
        """Return the index of each row's label: [rows], int64."""
        index_of = {label: index for index, label in enumerate(self.labels)}
        return np.array([index_of[label_of(row)] for row in rows], dtype=np.int64)

    def loss(self, outputs: "Tensor", targets: "Tensor") -> "Tensor":
        """Return the mean cross-entropy in nats, or the focal loss."""
        from torch.nn import functional

        smoothing = self.label_smoothing
        if self.weights is None and not self.gamma:
            return functional.cross_entropy(outputs, targets, label_smoothing=smoothing)
        weight = None if self.weights is None else outputs.new_tensor(self.weights)
        losses = functional.cross_entropy(
            outputs, targets, weight, reduction="none", label_smoothing=smoothing
        )
        if self.gamma:
            own = outputs.softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # [rows]
            losses = (1 - own) ** self.gamma * losses
        # PyTorch's mean divides by the sum of weights, which differs between parts of a batch.
        return losses.mean()

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of each label: [rows, labels]."""
        return softmax(outputs / self.temperature)

    def predictions(self, scores: np.ndarray) -> list[LabelPrediction]:
        """Return the most probable label of each row."""
        pairs = zip(scores.argmax(axis=-1).tolist(), scores.max(axis=-1).tolist(), strict=True)
        return [LabelPrediction(self.labels[index], round(share, 6)) for index, share in pairs]

    def detailed(self, prediction: Any, scores: np.ndarray) -> DetailedPrediction:
        """Return a prediction with the probabilities of the most probable labels."""
        ranked = (-scores).argsort(kind="stable")[:MAX_CONFIDENCES].tolist()
        shares = {self.labels[index]: round(scores[index].item(), 6) for index in ranked}
        return DetailedPrediction(*prediction, shares)

    def actual(self, targets: np.ndarray) -> list[str]:
        """Return the labels."""
        return [self.labels[index] for index in targets.tolist()]

    def baselines(self) -> dict[str, tuple[str, Any]]:
        """Return the most frequent label, logistic regression and gradient boosting."""
        from sklearn.dummy import DummyClassifier
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression

        regression = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000)
        # Early stopping holds out rows of each label, so it fails where a label has a single row.
        boosting = HistGradientBoostingClassifier(random_state=0, early_stopping=False)
        return {
            "constant": ("majority", DummyClassifier(strategy="prior")),
            "linear": ("logistic_regression", regression),
            "boosting": ("gradient_boosting", boosting),
        }

    def figures(self, targets: np.ndarray, scores: Mapping[str, np.ndarray]) -> dict[str, "Figure"]:
        """Return the confusion matrix of the model, and F1 of each label beside the baselines."""
        from ..evaluation.plots import confusion_figure, f1_figure

        guesses = {name: values.argmax(axis=-1) for name, values in scores.items()}
        model = next(iter(guesses.values()))
        return {
            "confusion": confusion_figure(targets, model, labels=self.labels),
            "f1": f1_figure(targets, guesses, labels=self.labels),
        }

    def summary(self) -> str:
        """Return the labels."""
        return f"One of {len(self.labels)} labels: {', '.join(self.labels)}."

    def tables(self, targets: np.ndarray, scores: np.ndarray) -> dict[str, Table]:
        """Return precision, recall and F1 of each label."""
        return {"Each label": label_table(self.labels, targets, scores.argmax(axis=-1))}

    def limits(self, targets: np.ndarray, scores: np.ndarray) -> list[str]:
        """Return sentences about the most frequent mistake, the confidence and the accuracy."""
        num_rows, share = len(targets), accuracy(targets, scores)
        noise = 1.96 * math.sqrt(share * (1 - share) / num_rows)
        confidence = scores.max(axis=-1).mean()
        return [
            "An input that fits none of the labels gets one all the same.",
            self._most_frequent_mistake(targets, scores),
            f"It is right in {share:.0%} of the cases; its mean confidence is {confidence:.0%}.",
            f"{num_rows:,} test rows give the accuracy to about ±{noise:.3f} (95 %, taking rows "
            "as independent).",
        ]

    def about(self) -> dict[str, Any]:
        """Return the labels."""
        return {"labels": self.labels}

    def _most_frequent_mistake(self, targets: np.ndarray, scores: np.ndarray) -> str:
        actual = self.actual(targets)
        pairs = zip(actual, self.actual(scores.argmax(axis=-1)), strict=True)
        wrong = Counter((label, guess) for label, guess in pairs if label != guess)
        if not wrong:
            return "It made no mistake on the test split, which is reason to doubt the split."
        (label, guess), number = wrong.most_common(1)[0]
        total = actual.count(label)
        return f"Its most frequent mistake is {guess} for {label}: {number:,} of {total:,}."


def label_of(values: Values) -> str:
    """Return the label of a row, which may be a number; an empty string if it is missing."""
    label = values["label"]
    return "" if label is None else str(label)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probability of each label: [rows, labels]."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def fitted_temperature(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Return the temperature with the lowest log loss: Guo et al. 2017, arXiv:1706.04599."""
    logits = outputs.astype(np.float64)
    own = np.take_along_axis(logits, targets[:, None], axis=-1).mean()
    low, high = TEMPERATURES
    # The log loss is convex in 1 / temperature. Its slope is the difference of the logit of the
    # target and the expected logit, which falls with the temperature.
    for _ in range(30):
        middle = math.sqrt(low * high)
        expected = (softmax(logits / middle) * logits).sum(axis=-1).mean()
        low, high = (middle, high) if expected > own else (low, middle)
    return round(high, 4)


def _weights(counts: Mapping[str, int], wanted: str | dict[str, Any]) -> tuple[float, ...] | None:
    """Return a weight for each label, such that the mean over rows is 1; `None` for equal ones."""
    if wanted == "none":
        return None
    if isinstance(wanted, dict):
        expected = f"weights of {', '.join(sorted(counts))}"
        require(wanted.keys() == counts.keys(), "objective.class_weights", expected, wanted)
        weights = wanted
    else:
        weights = {label: 1 / count for label, count in counts.items()}
    mean = sum(weights[label] * counts[label] for label in counts) / sum(counts.values())
    return tuple(weights[label] / mean for label in sorted(counts))

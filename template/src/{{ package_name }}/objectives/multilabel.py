"""Several labels: any number of labels for each row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np

from ..data.rows import Values
from ..errors import ProjectError
from ..rules import Checked, Rule
from .base import Metric, Objective, Table, label_table
from .classification import INVERSE_REGULARISATION, LABELS, label_precision, rows_above

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

SEPARATOR = ";"
"""Between the labels of a row that are written as text."""
FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
"""What a column of its own says of a label."""
THRESHOLDS = Rule("in [0, 1]", lambda thresholds: all(0 <= one <= 1 for one in thresholds))


@dataclass(frozen=True)
class MultilabelConfig(Checked, section="objective"):
    """The settings of the labels."""

    name: str = "multilabel"
    """This file."""
    labels: Annotated[list[str], Rule("empty or two and more", lambda labels: len(labels) != 1)] = (
        field(default_factory=list)
    )
    """The labels to predict, while others are ignored; empty for every label in the data."""


class LabelsPrediction(NamedTuple):
    """The labels whose confidence reaches their threshold."""

    prediction: list[str]
    confidences: dict[str, float]
    """The probability that the model gives to each label, to six decimals."""


def micro_f1(targets: np.ndarray, margins: np.ndarray) -> float:
    """Return F1 of all labels of all rows together; 0 if none is right."""
    predicted = margins >= 0
    size = targets.sum() + predicted.sum()
    return float(2 * (targets & predicted).sum() / max(size, 1))


def macro_f1(targets: np.ndarray, margins: np.ndarray) -> float:
    """Return F1 averaged over labels with equal weight; 0 for a label that is never right."""
    predicted = margins >= 0
    sizes = targets.sum(axis=0) + predicted.sum(axis=0)
    return float((2 * (targets & predicted).sum(axis=0) / np.maximum(sizes, 1)).mean())


def mean_average_precision(targets: np.ndarray, margins: np.ndarray) -> float:
    """Return average precision, averaged over the labels that occur; it needs no threshold."""
    occurring = np.flatnonzero(targets.any(axis=0))
    each = [label_precision(targets[:, label], margins[:, label]) for label in occurring]
    return float(np.mean(each)) if each else 0.0


@dataclass(frozen=True)
class Multilabel(Objective):
    """Binary cross-entropy of each label, and a threshold for it."""

    settings: ClassVar = MultilabelConfig
    columns: ClassVar = ("labels",)
    metrics: ClassVar = {
        "map": Metric(mean_average_precision),
        "micro_f1": Metric(micro_f1),
        "macro_f1": Metric(macro_f1),
    }
    of_predictions: ClassVar = ("micro_f1", "macro_f1")
    prediction: ClassVar = LabelsPrediction

    labels: Annotated[tuple[str, ...], LABELS]
    """In the order of the outputs."""
    thresholds: Annotated[tuple[float, ...], THRESHOLDS]
    """The confidence from which a label is predicted."""
    are_chosen: bool = False
    """Whether other labels of a row are ignored."""

    @staticmethod
    def problem(values: Values, settings: MultilabelConfig) -> str:
        """Return an error message if the labels are missing or a column is not 0 or 1."""
        labels = values["labels"]
        for name, flag in labels.items() if isinstance(labels, Mapping) else ():
            if str(flag).lower() not in FLAGS:
                return f"{name} must be 0 or 1, got {flag!r:.100}"
        if labels is None:
            return f"the labels are missing; write {SEPARATOR} for a row without labels"
        return ""

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: MultilabelConfig) -> Self:
        """Return the objective with the labels of `rows`, in alphabetical order.

        Raises:
            ProjectError: There are fewer than two, or `settings` has one that does not occur.
        """
        found = set().union(*map(labels_of, rows))
        if missing := sorted(set(settings.labels) - found):
            raise ProjectError(f"objective.labels has {missing[0]!r}, which no training row has")
        labels = tuple(sorted(settings.labels or found))
        if len(labels) < 2:
            raise ProjectError(f"expected two labels or more, found {list(labels)}")
        return cls(labels, (0.5,) * len(labels), bool(settings.labels))

    def tuned(self, outputs: np.ndarray, targets: np.ndarray) -> Self:
        """Return the objective with the threshold for each label that gives the best F1."""
        columns = zip(targets.T, self.scores(outputs).T, strict=True)
        return replace(self, thresholds=tuple(best_threshold(*column) for column in columns))

    def untuned(self) -> Self:
        """Return the objective with thresholds of 0.5."""
        return replace(self, thresholds=(0.5,) * len(self.labels))

    @property
    def num_outputs(self) -> int:
        """A logit for each label."""
        return len(self.labels)

    def encode(self, rows: Iterable[Values]) -> np.ndarray:
        """Return whether a row has each label: [rows, labels], bool.

        Raises:
            ProjectError: A row has a label that the training split lacks.
        """
        index_of = {label: index for index, label in enumerate(self.labels)}
        encoded = []
        for labels in map(labels_of, rows):
            if not self.are_chosen and (unknown := [one for one in labels if one not in index_of]):
                raise ProjectError(
                    f"no row of the training split has the label {unknown[0]!r}; "
                    "objective.labels can name the labels to predict"
                )
            has = np.zeros(len(self.labels), dtype=bool)
            has[[index_of[label] for label in labels if label in index_of]] = True
            encoded.append(has)
        return np.stack(encoded)

    def loss(self, outputs: "Tensor", targets: "Tensor") -> "Tensor":
        """Return the mean binary cross-entropy in nats, over rows and labels."""
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of each label: [rows, labels]."""
        return np.exp(-np.logaddexp(0, -outputs))  # the sigmoid, without overflow

    def without_doubt(self, targets: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the targets, and margins above 0 for the labels that are predicted."""
        return targets, predicted - 0.5

    def compared(self, targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return whether a row has a label, and by how much its score is above the threshold."""
        return targets, scores.astype(np.float64) - self.thresholds

    def predictions(self, scores: np.ndarray) -> list[LabelsPrediction]:
        """Return the labels of each row, and the probability of every label."""
        shares = ([round(share, 6) for share in row] for row in scores.tolist())
        confidences = (dict(zip(self.labels, row, strict=True)) for row in shares)
        pairs = zip(self.actual(self._predicted(scores)), confidences, strict=True)
        return [LabelsPrediction(*pair) for pair in pairs]

    def actual(self, targets: np.ndarray) -> list[list[str]]:
        """Return the labels of each row."""
        return [list(compress(self.labels, row)) for row in targets.tolist()]

    def baselines(self) -> dict[str, tuple[str, Any]]:
        """Return the frequency of each label, logistic regression and gradient boosting."""
        from sklearn.dummy import DummyClassifier
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        # Balanced, so that a threshold of 0.5 suits rare labels too.
        balanced: dict[str, Any] = {"class_weight": "balanced"}
        regression = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000, **balanced)
        # Early stopping holds out rows with and without a label, so it fails for a single row.
        boosting = HistGradientBoostingClassifier(random_state=0, early_stopping=False, **balanced)
        return {
            "constant": ("frequency", OneVsRestClassifier(DummyClassifier(strategy="prior"))),
            "linear": ("logistic_regression", OneVsRestClassifier(regression)),
            "boosting": ("gradient_boosting", OneVsRestClassifier(boosting)),
        }

    def figures(self, targets: np.ndarray, scores: Mapping[str, np.ndarray]) -> dict[str, "Figure"]:
        """Return F1 and average precision of each label beside the baselines."""
        from ..evaluation.plots import bars_figure, f1_figure

        predicted = {name: self.untuned()._predicted(values) for name, values in scores.items()}
        model, *_ = scores
        predicted[model] = self._predicted(scores[model])
        ranked = {
            name: [label_precision(*pair) for pair in zip(targets.T, values.T, strict=True)]
            for name, values in scores.items()
        }
        title = "Average precision per label"
        return {
            "f1": f1_figure(targets, predicted, labels=self.labels),
            "average_precision": bars_figure(ranked, labels=self.labels, title=title),
        }

    def summary(self) -> str:
        """Return the labels."""
        return f"Any of {len(self.labels)} labels: {', '.join(self.labels)}."

    def tables(self, targets: np.ndarray, scores: np.ndarray) -> dict[str, Table]:
        """Return precision, recall, F1 and threshold of each label."""
        header, rows = label_table(self.labels, targets, self._predicted(scores))
        pairs = zip(rows, self.thresholds, strict=True)
        rows = [(*row, f"{threshold:.2f}") for row, threshold in pairs]
        return {"Each label": Table((*header, "threshold"), rows)}

    def limits(self, targets: np.ndarray, scores: np.ndarray) -> list[str]:
        """Return sentences about rows without a label, and rows that are right in all labels."""
        predicted = self._predicted(scores)
        without = (~predicted.any(axis=1)).mean()
        right = (predicted == targets).all(axis=1).mean()
        return [
            f"{without:.0%} of the test rows get no label at all.",
            f"{right:.0%} of the test rows get exactly the labels that they have.",
        ]

    def about(self) -> dict[str, Any]:
        """Return the labels."""
        return {"labels": self.labels}

    def _predicted(self, scores: np.ndarray) -> np.ndarray:
        """Return whether each score reaches its threshold: [rows, labels]."""
        return scores.astype(np.float64) >= self.thresholds


def labels_of(values: Values) -> list[str]:
    """Return the labels of a row, which are a list, `a;b`, or columns of 0 and 1."""
    labels = values["labels"]
    if isinstance(labels, Mapping):
        return [name for name, flag in labels.items() if FLAGS[str(flag).lower()]]
    each = labels if isinstance(labels, list | tuple) else str(labels).split(SEPARATOR)
    return [label for label in (str(one).strip() for one in each) if label]


def best_threshold(actual: np.ndarray, scores: np.ndarray) -> float:
    """Return the threshold with the highest F1; 0.5 for a label that no row has."""
    own, hits, above = rows_above(actual, scores)
    if not len(own):
        return 0.5
    lowest = own[(hits / (len(own) + above)).argmax()]
    below = scores[scores < lowest]
    highest = below.max() if len(below) else 0
    # In float64, since between two float32 there may be no other.
    return (float(lowest) + float(highest)) / 2

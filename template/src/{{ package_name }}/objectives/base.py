"""The contract of an objective, which depends on neither models nor modalities."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from ..data.rows import Values
from ..lookup import Fitted, find_class, find_classes
from ..rules import require, typed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

LOSS = "loss"
"""Name of the objective's loss among the metrics of an evaluation; lower is better."""


class Metric(NamedTuple):
    """A number by which models are compared."""

    function: Callable[[np.ndarray, np.ndarray], float]
    """Takes targets and scores, as `Objective.compared` returns them."""
    higher_is_better: bool = True


class Table(NamedTuple):
    """A table of the model card."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Objective(Fitted, ABC, section="objective"):
    """Base class of objectives; `objective.name` selects a file in objectives/.

    Subclasses are frozen dataclasses, saved as JSON.
    Targets are the labels of rows as an array. Scores are the input of metrics, such as
    probabilities; baselines return them too. Predictions are what a client receives.

    Only training computes the loss: import torch in it, not at the top of the file, so that
    predictions do not need it.
    """

    settings: ClassVar[type]
    """The dataclass of the settings under `objective`."""
    columns: ClassVar[Sequence[str]]
    """The columns that a row must have."""
    metrics: ClassVar[Mapping[str, Metric]]
    """Metrics by name, for reports, tracking, `training.monitor` and `registry.metric`. The first
    is the default of these settings."""
    of_predictions: ClassVar[Sequence[str]] = ()
    """The metrics that predictions alone tell, as in production, where scores are not kept."""
    prediction: ClassVar[type]
    """The NamedTuple that a client receives; its first field is the prediction itself."""
    detailed_prediction: ClassVar[type | None] = None
    """The NamedTuple that `detailed` returns, if that has more fields."""

    @staticmethod
    @abstractmethod
    def problem(values: Values, settings: Any) -> str:
        """Return why a row cannot be used, or an empty string."""

    @staticmethod
    def stratum(values: Values) -> str:
        """Return the stratum of a row; all splits have about the same share of each stratum."""
        return ""

    @classmethod
    @abstractmethod
    def fit(cls, rows: Iterable[Values], settings: Any) -> Self:
        """Return an objective that has learned what it needs from the training split."""

    def tuned(self, outputs: np.ndarray, targets: np.ndarray) -> Self:
        """Return the objective, fitted to a trained model's outputs for the validation split.

        A threshold or a temperature is chosen here; the result becomes part of the bundle.
        """
        return self

    def untuned(self) -> Self:
        """Return the objective as it was before `tuned`, with which baselines are measured."""
        return self

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """The width of a model's output."""

    @abstractmethod
    def encode(self, rows: Iterable[Values]) -> np.ndarray:
        """Return the targets [rows, ...] of rows."""

    @abstractmethod
    def loss(self, outputs: "Tensor", targets: "Tensor") -> "Tensor":
        """Return a scalar, the mean over rows, of outputs [rows, num_outputs] and targets."""

    @abstractmethod
    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Return the scores, which metrics take, of outputs [rows, num_outputs]."""

    @abstractmethod
    def predictions(self, scores: np.ndarray) -> list[Any]:
        """Return a prediction for each row of the scores."""

    def detailed(self, prediction: Any, scores: np.ndarray) -> Any:
        """Return the prediction for the scores of a row with what `?confidences=true` asks for."""
        return prediction

    @abstractmethod
    def actual(self, targets: np.ndarray) -> list[Any]:
        """Return the correct predictions."""

    @abstractmethod
    def baselines(self) -> dict[str, tuple[str, Any]]:
        """Return estimators of scikit-learn and their names, by kind.

        `constant` ignores its inputs; `linear` and `boosting` get the encoder's features of that
        kind. Their `predict_proba` or `predict` gives scores.
        """

    @abstractmethod
    def figures(self, targets: np.ndarray, scores: Mapping[str, np.ndarray]) -> dict[str, "Figure"]:
        """Return figures by name, of the scores of the model and of each baseline."""

    @abstractmethod
    def summary(self) -> str:
        """Return a sentence of the model card on what is predicted."""

    @abstractmethod
    def tables(self, targets: np.ndarray, scores: np.ndarray) -> dict[str, Table]:
        """Return tables of the model card by title."""

    @abstractmethod
    def limits(self, targets: np.ndarray, scores: np.ndarray) -> list[str]:
        """Return sentences about the model's limits for the model card."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Return the fields about the objective in the answer to `GET /model`."""

    def compared(self, targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and scores in the form that metrics take."""
        return targets, scores

    def measure(self, targets: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        """Return every metric of the scores."""
        pair = self.compared(targets, scores)
        return {name: float(metric.function(*pair)) for name, metric in self.metrics.items()}

    def without_doubt(self, targets: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and scores, as metrics take them, of encoded targets and predictions."""
        return targets, predicted

    def evaluate(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return every metric of the outputs, and the loss."""
        import torch

        metrics = self.measure(targets, self.scores(outputs))
        return metrics | {LOSS: self.loss(*map(torch.from_numpy, (outputs, targets))).item()}

    @classmethod
    def chosen(cls, metric: str | None, *, setting: str) -> str:
        """Return the metric that a setting names; the first one for null.

        Raises:
            ConfigError: The objective does not have the metric.
        """
        names = [*cls.metrics, LOSS]
        require(metric in (None, *names), setting, f"null or one of {', '.join(names)}", metric)
        return metric or names[0]

    @classmethod
    def sign(cls, metric: str) -> int:
        """Return 1 if a higher value of the metric is better, -1 if a lower one is."""
        return 1 if metric != LOSS and cls.metrics[metric].higher_is_better else -1


def objective_class(name: str) -> type[Objective]:
    """Return the objective that objectives/<name>.py defines."""
    return find_class(Objective, folder="objectives", name=name, setting="objective.name")


def target_columns() -> list[str]:
    """Return the columns of all objectives in this folder; a data set may have several of them."""
    objectives = find_classes(Objective, folder="objectives")
    return sorted({column for objective in objectives for column in objective.columns})


def objective_settings(values: Mapping[str, Any]) -> Any:
    """Return the checked settings of the objective `values["name"]`."""
    return typed("objective", objective_class(values["name"]).settings, values)


def label_table(labels: Sequence[str], actual: np.ndarray, predicted: np.ndarray) -> Table:
    """Return precision, recall and F1 of each label.

    The arrays are indices [rows], or 1 where a row has a label: [rows, labels].
    """
    from sklearn.metrics import precision_recall_fscore_support

    figures = precision_recall_fscore_support(
        actual, predicted, labels=range(len(labels)), zero_division=0
    )
    rows = [
        (label, f"{precision:.2f}", f"{recall:.2f}", f"{f1:.2f}", f"{support:,}")
        for label, precision, recall, f1, support in zip(labels, *figures, strict=True)
    ]
    return Table(("label", "precision", "recall", "F1", "test rows"), rows)

"""Regression: one or several numbers for each row."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np

from ..data.rows import Values
from ..errors import ProjectError
from ..rules import Checked, Rule
from .base import Metric, Objective, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

LARGEST = 1e30
"""Limit of a target; float32 holds predictions far beyond it."""


class Loss(StrEnum):
    """A function of the errors, in standard deviations of the targets."""

    mse = "mse"
    mae = "mae"
    huber = "huber"
    """Squares errors up to one standard deviation; larger ones count linearly."""


@dataclass(frozen=True)
class RegressionConfig(Checked, section="objective"):
    """The settings of the loss."""

    name: str = "regression"
    """This file."""
    loss: Loss = Loss.mse
    """What training minimizes."""


class NumberPrediction(NamedTuple):
    """The number; if there are several targets, the number of each."""

    prediction: float | dict[str, float]


def rmse(targets: np.ndarray, predicted: np.ndarray) -> float:
    """Return the root of the mean squared error, averaged over targets."""
    return float(np.sqrt(np.square(targets - predicted).mean(axis=0)).mean())


def mae(targets: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean absolute error, averaged over targets."""
    return float(np.abs(targets - predicted).mean())


def r2(targets: np.ndarray, predicted: np.ndarray) -> float:
    """Return the explained share of the variance, averaged over targets.

    If all values of a target are equal, it is 1 for exact predictions and 0 for others.
    """
    errors = np.square(targets - predicted).sum(axis=0)
    spread = np.square(targets - targets.mean(axis=0)).sum(axis=0)
    shares = 1 - errors / np.where(spread > 0, spread, 1)
    return float(np.where(spread > 0, shares, errors == 0).mean())


@dataclass(frozen=True)
class Regression(Objective):
    """Numbers, standardised for the model: targets and outputs are (number - mean) / scale.

    Metrics, figures and predictions are in the unit of the targets.
    """

    settings: ClassVar = RegressionConfig
    columns: ClassVar = ("target",)
    metrics: ClassVar = {
        "rmse": Metric(rmse, higher_is_better=False),
        "mae": Metric(mae, higher_is_better=False),
        "r2": Metric(r2),
    }
    of_predictions: ClassVar = ("rmse", "mae", "r2")
    prediction: ClassVar = NumberPrediction

    targets: tuple[str, ...]
    """Their columns; a single empty name if a row has one number."""
    means: tuple[float, ...]
    """Mean of each target in the training split."""
    scales: Annotated[tuple[float, ...], Rule("> 0", lambda scales: all(one > 0 for one in scales))]
    """Standard deviation of each target in the training split."""
    criterion: Loss = Loss.mse

    @staticmethod
    def problem(values: Values, settings: RegressionConfig) -> str:
        """Return an error message if a target is not a finite number, else an empty string."""
        for name, value in _named(values).items():
            if not abs(_number(value)) < LARGEST:
                return f"{name or 'the target'} must be a number, got {value!r:.100}"
        return ""

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: RegressionConfig) -> Self:
        """Return the objective with mean and standard deviation of the targets of `rows`.

        Raises:
            ProjectError: A target has the same value in all of them.
        """
        rows = iter(rows)
        first = next(rows)
        targets = tuple(_named(first))
        numbers = _array(chain([first], rows), targets)
        for name, column in zip(targets, numbers.T, strict=True):
            if (column == column[0]).all():
                what = f"{name or 'the target'} is {column[0]:g}"
                raise ProjectError(f"{what} in every row of the training split")
        means, scales = numbers.mean(axis=0).tolist(), numbers.std(axis=0).tolist()
        return cls(targets, tuple(means), tuple(scales), settings.loss)

    @property
    def num_outputs(self) -> int:
        """A number for each target."""
        return len(self.targets)

    def encode(self, rows: Iterable[Values]) -> np.ndarray:
        """Return the standardised targets: [rows, targets], float32."""
        numbers = _array(rows, self.targets)
        return ((numbers - self.means) / self.scales).astype(np.float32)

    def loss(self, outputs: "Tensor", targets: "Tensor") -> "Tensor":
        """Return the mean over rows and targets."""
        from torch.nn import functional

        losses = {
            Loss.mse: functional.mse_loss,
            Loss.mae: functional.l1_loss,
            Loss.huber: functional.huber_loss,
        }
        return losses[self.criterion](outputs, targets)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs, which are standardised: [rows, targets]."""
        return outputs

    def in_unit(self, standardised: np.ndarray) -> np.ndarray:
        """Return the numbers in the unit of the targets: [rows, targets], float64."""
        return standardised.astype(np.float64) * self.scales + self.means

    def without_doubt(self, targets: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return both in the unit of the targets."""
        return targets * self.scales + self.means, predicted * self.scales + self.means

    def compared(self, targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return actual and predicted numbers in the unit of the targets: [rows, targets]."""
        return self.in_unit(targets), self.in_unit(scores)

    def predictions(self, scores: np.ndarray) -> list[NumberPrediction]:
        """Return the numbers of each row, to a millionth of their standard deviation."""
        return list(map(NumberPrediction, self.actual(scores)))

    def actual(self, targets: np.ndarray) -> list[Any]:
        """Return a number for each row; if there are several targets, the number of each."""
        decimals = [6 - math.floor(math.log10(scale)) for scale in self.scales]
        rows = [
            [round(number, num) + 0.0 for number, num in zip(row, decimals, strict=True)]  # no -0.0
            for row in self.in_unit(targets).tolist()
        ]
        if self.targets == ("",):
            return [number for [number] in rows]
        return [dict(zip(self.targets, row, strict=True)) for row in rows]

    def baselines(self) -> dict[str, tuple[str, Any]]:
        """Return the mean, ridge regression and gradient boosting."""
        from sklearn.dummy import DummyRegressor
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.linear_model import Ridge
        from sklearn.multioutput import MultiOutputRegressor

        boosting = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0))
        return {
            "constant": ("mean", DummyRegressor()),
            "linear": ("ridge", Ridge()),
            "boosting": ("gradient_boosting", boosting),
        }

    def figures(self, targets: np.ndarray, scores: Mapping[str, np.ndarray]) -> dict[str, "Figure"]:
        """Return the model's numbers against the actual ones, and the differences."""
        from ..evaluation.plots import scatter_figure

        actual, predicted = self.compared(targets, next(iter(scores.values())))
        numbers = {"actual": actual, "predicted": predicted}
        errors = {"predicted": predicted, "actual - predicted": actual - predicted}
        return {
            "predicted": scatter_figure(numbers, names=self.targets, slope=1),
            "residuals": scatter_figure(errors, names=self.targets, slope=0),
        }

    def summary(self) -> str:
        """Return the targets, with mean and standard deviation."""
        described = (
            f"{name or 'a number'} (mean {mean:.4g}, standard deviation {scale:.4g})"
            for name, mean, scale in zip(self.targets, self.means, self.scales, strict=True)
        )
        return f"Predicts {', '.join(described)}."

    def tables(self, targets: np.ndarray, scores: np.ndarray) -> dict[str, Table]:
        """Return the metrics of each target, and how large most of its errors are."""
        actual, predicted = self.compared(targets, scores)
        most = np.quantile(np.abs(actual - predicted), 0.9, axis=0)
        rows = []
        for i, name in enumerate(self.targets):
            pair = actual[:, [i]], predicted[:, [i]]
            figures = (metric.function(*pair) for metric in self.metrics.values())
            rows.append((name or "target", *(f"{one:.4g}" for one in (*figures, most[i]))))
        return {"Each target": Table(("target", *self.metrics, "90 % of errors below"), rows)}

    def limits(self, targets: np.ndarray, scores: np.ndarray) -> list[str]:
        """Return a sentence about numbers that training did not have."""
        return ["Beyond the range of the numbers in the training split it guesses."]

    def about(self) -> dict[str, Any]:
        """Return the targets."""
        return {"targets": [name or "target" for name in self.targets]}


def _named(values: Values) -> Mapping[str, Any]:
    """Return the targets of a row by name, which is empty for a single number."""
    target = values["target"]
    return target if isinstance(target, Mapping) else {"": target}


def _number(value: Any) -> float:
    """Return a number, which may be written as text; NaN if it is none, as `1_000`."""
    if isinstance(value, str) and "_" in value:  # which `float` takes
        return math.nan
    with suppress(ArithmeticError, TypeError, ValueError):
        return float(value)
    return math.nan


def _array(rows: Iterable[Values], targets: tuple[str, ...]) -> np.ndarray:
    """Return the numbers of some targets: [rows, targets], float64."""
    numbers = (_number(_named(row)[name]) for row in rows for name in targets)
    return np.fromiter(numbers, np.float64).reshape(-1, len(targets))

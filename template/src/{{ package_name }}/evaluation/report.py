"""All that `evaluate` finds out about a model on the test split."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch.nn.functional import cross_entropy

from ..data.dataset import Split
from ..data.validation import read_csv
from ..models.bundle import Bundle
from .baselines import baselines
from .escaping import cell, from_cell
from .metrics import Metrics, predict_logits, score
from .plots import confusion_figure, f1_figure, save_figure

METRICS_JSON, PREDICTIONS_CSV = "metrics.json", "predictions.csv"
CONFUSION_PNG, F1_PNG = "confusion.png", "f1.png"


class TestPrediction(NamedTuple):
    """A row of predictions.csv."""

    actual: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Report:
    """A model's test results beside the baselines'."""

    bundle: Bundle
    metrics: Metrics
    actual: list[str]
    """The true label of each test row."""
    predicted: list[str]
    """The model's label of each test row."""
    confidence: list[float]
    """The probability the model gave to that label."""
    baseline_predictions: dict[str, list[str]]
    """The labels that each baseline gave."""
    num_rows: dict[str, int]
    """Rows of each split."""

    @property
    def baselines(self) -> dict[str, Metrics]:
        """The metrics of each baseline."""
        predictions = self.baseline_predictions.items()
        return {name: score(self.actual, predicted) for name, predicted in predictions}

    def table(self) -> str:
        """Return accuracy and macro-F1 of the model and the baselines, and the differences."""
        ours = self.metrics
        lines = [
            f"{'':26}accuracy  macro-F1",
            f"{'model':26}{ours.accuracy:8.4f}  {ours.macro_f1:8.4f}",
        ]
        for name, other in self.baselines.items():
            gains = f"{ours.accuracy - other.accuracy:+.4f}  {ours.macro_f1 - other.macro_f1:+.4f}"
            figures = f"{other.accuracy:8.4f}  {other.macro_f1:8.4f}"
            lines.append(f"{name:26}{figures}   model {gains}")
        return "\n".join(lines)

    def save(self, folder: Path) -> None:
        """Write the figures, the predictions and their pictures."""
        folder.mkdir(parents=True, exist_ok=True)
        self._save_figures(folder)
        compared = {name: metrics.to_dict() for name, metrics in self.baselines.items()}
        which = {"bundle_version": self.bundle.version}
        figures = which | self.metrics.to_dict() | {"baselines": compared}
        (folder / METRICS_JSON).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
        with (folder / PREDICTIONS_CSV).open("w", encoding="utf-8", newline="") as file:
            # In quotes, since some spreadsheets take a semicolon for the end of a cell.
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            writer.writerow(TestPrediction._fields)
            labels = map(cell, self.actual), map(cell, self.predicted)
            writer.writerows(zip(*labels, self.confidence, strict=True))

    def _save_figures(self, folder: Path) -> None:
        labels = self.bundle.spec.labels
        predictions = {"model": self.predicted, **self.baseline_predictions}
        confusion = confusion_figure(self.actual, self.predicted, labels=labels)
        save_figure(confusion, folder / CONFUSION_PNG)
        save_figure(f1_figure(self.actual, predictions, labels=labels), folder / F1_PNG)


def read_predictions(path: Path) -> list[TestPrediction]:
    """Return the rows of predictions.csv, in the order of the test split."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            TestPrediction(from_cell(actual), from_cell(predicted), float(confidence))
            for actual, predicted, confidence in list(csv.reader(file))[1:]
        ]


def evaluate_bundle(bundle: Bundle, processed: Path, *, group_column: str) -> Report:
    """Return the results of `bundle`, and of the baselines, on the test split in `processed`."""
    train, validation, test = (
        read_csv(processed / f"{name}.csv", group_column=group_column)
        for name in ("train", "validation", "test")
    )
    split = Split.load(processed / "test.safetensors")
    logits = predict_logits(bundle.model, split)  # [rows, classes]
    confidence, classes = logits.softmax(dim=-1).max(dim=-1)
    loss = cross_entropy(logits, split.labels).item()
    actual = [row.label for row in test]
    predicted = [bundle.spec.labels[index] for index in classes.tolist()]
    return Report(
        bundle=bundle,
        metrics=score(actual, predicted, loss=loss),
        actual=actual,
        predicted=predicted,
        confidence=[round(value, 6) for value in confidence.tolist()],
        baseline_predictions=baselines(train, test),
        num_rows={"train": len(train), "validation": len(validation), "test": len(test)},
    )

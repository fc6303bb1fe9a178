"""All that `evaluate` finds out about a model on the test split."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from ..data.dataset import Split
from ..data.validation import read_csv
from ..models.bundle import Bundle
from .baselines import baselines
from .metrics import Metrics, predict_logits, score

METRICS_JSON, PREDICTIONS_CSV = "metrics.json", "predictions.csv"


@dataclass(frozen=True)
class Report:
    """A model's test results beside the baselines'."""

    bundle: Bundle
    metrics: Metrics
    baselines: dict[str, Metrics]
    actual: list[str]
    """The true label of each test row."""
    predicted: list[str]
    """The model's label of each test row."""
    confidence: list[float]
    """The probability the model gave to that label."""
    num_rows: dict[str, int]
    """Rows of each split."""

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
        """Write metrics.json and predictions.csv."""
        folder.mkdir(parents=True, exist_ok=True)
        compared = {name: metrics.to_dict() for name, metrics in self.baselines.items()}
        figures = self.metrics.to_dict() | {"baselines": compared}
        (folder / METRICS_JSON).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
        with (folder / PREDICTIONS_CSV).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("actual", "predicted", "confidence"))
            writer.writerows(zip(self.actual, self.predicted, self.confidence, strict=True))


def evaluate_bundle(bundle: Bundle, processed: Path, *, group_column: str) -> Report:
    """Return the results of `bundle`, and of the baselines, on the test split in `processed`."""
    train, validation, test = (
        read_csv(processed / f"{name}.csv", group_column=group_column)
        for name in ("train", "validation", "test")
    )
    split = Split.load(processed / "test.safetensors")
    probabilities = predict_logits(bundle.model, split).softmax(dim=-1)  # [rows, classes]
    confidence, classes = probabilities.max(dim=-1)
    loss = -probabilities.log()[range(len(split)), split.labels].mean().item()
    actual = [row.label for row in test]
    predicted = [bundle.spec.labels[index] for index in classes.tolist()]
    return Report(
        bundle=bundle,
        metrics=score(actual, predicted, loss=loss),
        baselines=baselines(train, test),
        actual=actual,
        predicted=predicted,
        confidence=[round(value, 6) for value in confidence.tolist()],
        num_rows={"train": len(train), "validation": len(validation), "test": len(test)},
    )

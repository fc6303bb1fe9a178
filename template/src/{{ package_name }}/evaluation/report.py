"""The results of a model and of the baselines on the test split."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.pipeline import make_pipeline

from ..data.dataset import Split
from ..data.rows import Row, Rows
from ..data.spec import DataSpec
from ..models.bundle import Bundle
from ..objectives.base import Objective
from .int8 import Quantised, compare, served_outputs
from .plots import save_figure

BASELINE_ROWS = 100_000
"""About how many training rows baselines learn from: they hold all of them in memory."""
METRICS_JSON, PREDICTIONS_CSV, FIGURES = "metrics.json", "predictions.csv", "figures"
TIMES_JSON = "times.json"

_FORMULA_STARTS = (*"=+-@'\t\r\n", *"＝＋－＠")  # noqa: RUF001
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


@dataclass(frozen=True)
class Report:
    """A model's test results beside the baselines'."""

    bundle: Bundle
    outputs: np.ndarray
    """The model's outputs for the test rows: [rows, num_outputs]."""
    targets: np.ndarray
    """[rows, ...]."""
    baseline_scores: Mapping[str, np.ndarray]
    """The scores that each baseline gave to the test rows."""
    num_rows: Mapping[str, int]
    """Rows of each split."""
    test_rows: Iterable[Row]
    quantised: Quantised | None = None
    """What int8 changes, if `outputs` were computed in it."""

    @property
    def scores(self) -> np.ndarray:
        """The model's outputs in the form that metrics take."""
        return self.bundle.spec.objective.scores(self.outputs)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The metrics of the model, by name."""
        return self.bundle.spec.objective.evaluate(self.outputs, self.targets)

    @cached_property
    def untuned(self) -> dict[str, float]:
        """The metrics before the objective was tuned; empty if there was nothing to tune."""
        tuned, before = self.bundle.spec.objective, self.bundle.spec.objective.untuned()
        return before.evaluate(self.outputs, self.targets) if before != tuned else {}

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """The metrics of each baseline."""
        measure = self.bundle.spec.objective.untuned().measure
        return {
            name: measure(self.targets, scores) for name, scores in self.baseline_scores.items()
        }

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """The objective's figures, by name."""
        scores = {"model": self.scores, **self.baseline_scores}
        return self.bundle.spec.objective.figures(self.targets, scores)

    def gain(self, metric: str, baseline: str) -> float:
        """Return by how much the model is better than a baseline."""
        sign = self.bundle.spec.objective.sign(metric)
        return sign * (self.metrics[metric] - self.baselines[baseline][metric])

    def results(self) -> list[tuple[str, ...]]:
        """Return the rows of a table: the value of each metric for the model and each baseline.

        In brackets is by how much the model is better than the baseline.
        """
        rows = []
        for metric in self.bundle.spec.objective.metrics:
            others = (
                f"{shown(values[metric])} ({shown(self.gain(metric, name), '+')})"
                for name, values in self.baselines.items()
            )
            rows.append((metric, shown(self.metrics[metric]), *others))
        return rows

    def table(self) -> str:
        """Return the results as aligned text, and what int8 changes in them and in time."""
        text = _aligned([("", "model", *self.baselines), *self.results()])
        if self.quantised:
            times = {f"CPU µs per row, {n}": of for n, of in self.quantised.us_per_row.items()}
            text += "\n\n" + _aligned([*self.precisions(), *_compared(times)])
        return text

    def precisions(self) -> list[tuple[str, ...]]:
        """Return a table, with its header, of the metrics in float32 and int8; empty without."""
        if self.quantised is None:
            return []
        changed = self.quantised.num_changed
        labels = [] if changed is None else [("other labels", "", f"{changed:,}", "")]
        rows = _compared(self.quantised.metrics)
        return [("", "float32", "int8", "difference"), *rows, *labels]

    def save(self, folder: Path) -> None:
        """Write metrics, predictions and figures."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in self.figures.items():
            save_figure(figure, folder / FIGURES / f"{name}.png")
        written: dict[str, Any] = {"bundle_version": self.bundle.version, **self.metrics}
        written |= {"untuned": self.untuned, "baselines": self.baselines}
        if self.quantised:
            written["quantised"] = self.quantised.metrics
            times = {"us_per_row": self.quantised.us_per_row}
            # Not in metrics.json, which DVC expects to be the same for the same bundle.
            _write_json(folder / TIMES_JSON, {"bundle_version": self.bundle.version, **times})
        _write_json(folder / METRICS_JSON, written)
        with (folder / PREDICTIONS_CSV).open("w", encoding="utf-8", newline="") as file:
            # Quoted, since some spreadsheets split cells at semicolons.
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            for number, row in enumerate(self._predictions()):
                if number == 0:
                    writer.writerow(map(_cell, row))
                writer.writerow(map(_cell, row.values()))

    def _predictions(self) -> Iterator[dict[str, Any]]:
        """Yield the cells of predictions.csv for each test row."""
        objective, encoder = self.bundle.spec.objective, self.bundle.spec.encoder
        predictions = objective.predictions(self.scores)
        actual = objective.actual(self.targets)
        for row, target, prediction in zip(self.test_rows, actual, predictions, strict=True):
            results = {"id": row.id, "target": target, **prediction._asdict()}
            shown = encoder.shown(row.values).items()
            inputs = {f"input_{name}" if name in results else name: one for name, one in shown}
            yield {"id": row.id, **inputs, **results}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", "utf-8")


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ((one.ljust(width) for one, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in cells)


def _compared(figures: Mapping[str, Mapping[str, float]]) -> list[tuple[str, ...]]:
    """Return a row for each of the figures, which have a value for each precision."""
    return [
        (name, *map(shown, of.values()), shown(of["int8"] - of["float32"], "+"))
        for name, of in figures.items()
    ]


def shown(value: float, sign: str = "") -> str:
    """Return a number with three decimals, or fewer if it is large."""
    if 0 < abs(value) < 0.01:
        return f"{value:{sign}.2g}"
    num_decimals = max(0, 4 - len(f"{abs(value):.0f}"))
    return f"{value:{sign},.{num_decimals}f}"


def read_predictions(path: Path) -> list[dict[str, str]]:
    """Return the rows of predictions.csv, in the order of the test split."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [{name: value.removeprefix("'") for name, value in row.items()} for row in rows]


def _cell(value: Any) -> Any:
    """Return a value for a CSV cell, with a `'` before text that spreadsheets read as a formula.

    See https://owasp.org/www-community/attacks/CSV_Injection. A number stays as it is; a list or a
    mapping becomes JSON.
    """
    if isinstance(value, list | tuple | dict):
        value = json.dumps(value, ensure_ascii=False)
    is_formula = isinstance(value, str) and value.startswith(_FORMULA_STARTS)
    return f"'{value}" if is_formula and not _NUMBER.fullmatch(value) else value


def evaluate_bundle(bundle: Bundle, processed: Path, rows: Mapping[str, Rows]) -> Report:
    """Return the results of `bundle`, and of the baselines, on the test split in `processed`.

    `rows` has the rows of each split in that folder.
    """
    split = Split.load(processed / "test.safetensors")
    training = _spaced(rows["train"], bundle.spec.objective)
    outputs = served_outputs(bundle, split)
    return Report(
        bundle=bundle,
        outputs=outputs,
        targets=split.targets.numpy(),
        baseline_scores=baselines(bundle.spec, training, rows["test"]),
        num_rows={name: len(found) for name, found in rows.items()},
        test_rows=rows["test"],
        quantised=compare(bundle, outputs, split),
    )


def _spaced(rows: Rows, objective: Objective) -> Rows:
    """Return `BASELINE_ROWS` of the rows, evenly spaced, and one of each stratum; or all rows.

    Without a row of each label, the scores of a baseline would lack a column.
    """
    if len(rows) <= BASELINE_ROWS:
        return rows
    kept = np.zeros(len(rows), dtype=bool)
    kept[np.linspace(0, len(rows) - 1, BASELINE_ROWS).astype(int)] = True
    row_of = {objective.stratum(row.values): index for index, row in enumerate(rows)}
    kept[list(row_of.values())] = True
    return Rows(rows.path, kept)


def baselines(spec: DataSpec, train: Iterable[Row], test: Iterable[Row]) -> dict[str, np.ndarray]:
    """Return the scores that each baseline, fitted on `train`, gives to the rows of `test`.

    The encoder gives the features, the objective the estimators; the first ignores the features.
    """
    inputs, others = ([row.values for row in rows] for rows in (train, test))
    targets = spec.objective.encode(inputs)
    estimators = spec.objective.baselines()
    methods = dict([estimators["constant"]])
    for kind, (name_of_features, features) in spec.encoder.features().items():
        name, estimator = estimators[kind]
        methods[f"{name_of_features}_{name}"] = make_pipeline(features, estimator)
    scores = {}
    for name, method in methods.items():
        method.fit(inputs, targets)
        predict = getattr(method, "predict_proba", method.predict)
        scores[name] = np.reshape(predict(others), (len(others), -1))
    return scores

"""What computing a model in int8 costs in the metrics, and what it gains in time."""

from dataclasses import dataclass
from time import perf_counter, thread_time

import numpy as np

from ..data.dataset import Split
from ..models.base import predict_outputs
from ..models.bundle import INT8, ONNX, Bundle, Run, session

ROWS_PER_PASS = 16
"""As in the server, at most: rows of a pass share the scales of int8, so that it matters."""
TIMED_ROWS, TIMED_S, MIN_ROUNDS = 64, 1, 3
"""About how many test rows are timed, for how long, and how often at least."""


@dataclass(frozen=True)
class Quantised:
    """Figures of a model in ONNX Runtime, each as `{"float32": ..., "int8": ...}`."""

    metrics: dict[str, dict[str, float]]
    """By name."""
    us_per_row: dict[str, dict[str, float]]
    """µs of CPU per row with one thread, by how many rows are computed at a time."""
    num_changed: int | None
    """Rows that int8 predicts otherwise; `None` if predictions are numbers."""


def served_outputs(bundle: Bundle, split: Split) -> np.ndarray:
    """Return the outputs [rows, num_outputs] of a split, in int8 if the bundle is served in it."""
    if INT8 in bundle.files:
        return _outputs(bundle, INT8, split)
    return predict_outputs(bundle.model, split)


def compare(bundle: Bundle, int8: np.ndarray, split: Split) -> Quantised | None:
    """Compare outputs in int8 for a split with those in float32; `None` for a bundle without."""
    if INT8 not in bundle.files:
        return None
    objective, targets = bundle.spec.objective, split.targets.numpy()
    outputs = {"float32": _outputs(bundle, ONNX, split), "int8": int8}
    metrics = {name: objective.evaluate(one, targets) for name, one in outputs.items()}
    predicted = (objective.predictions(objective.scores(one)) for one in outputs.values())
    pairs = zip(*predicted, strict=True)
    labels = [(one[0], other[0]) for one, other in pairs if isinstance(one[0], str | list)]
    return Quantised(
        {metric: {name: of[metric] for name, of in metrics.items()} for metric in metrics["int8"]},
        {f"{n} at a time": _us_per_row(bundle, split, n) for n in (1, ROWS_PER_PASS)},
        sum(one != other for one, other in labels) if labels else None,
    )


def _outputs(bundle: Bundle, file: str, split: Split) -> np.ndarray:
    run = session(bundle.files[file])
    return np.concatenate([run(inputs.numpy()) for inputs, _ in split.batches(ROWS_PER_PASS)])


def _us_per_row(bundle: Bundle, split: Split, size: int) -> dict[str, float]:
    """Return the time of both, who take turns: of each pass, the median of the rounds."""
    rows = split.lengths.argsort(stable=True)[:: max(1, len(split) // TIMED_ROWS)]
    passes = [split.inputs(few).numpy() for few in rows.split(size)]
    runs = session(bundle.files[ONNX]), session(bundle.files[INT8])
    rounds, ends_at = [], perf_counter() + TIMED_S
    while len(rounds) < MIN_ROUNDS or perf_counter() < ends_at:
        rounds.append([[_seconds(run, inputs) for run in runs] for inputs in passes])
    medians = np.median(rounds, axis=0)  # [passes, precisions]
    float32, int8 = 1e6 * medians.sum(axis=0) / len(rows)
    return {"float32": float(float32), "int8": float(int8)}


def _seconds(run: Run, inputs: np.ndarray) -> float:
    """Return the time of the one thread that computes, whatever else this machine does."""
    started = thread_time()
    run(inputs)
    return thread_time() - started

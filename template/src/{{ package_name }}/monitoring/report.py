"""What the prediction log, the truth that came later and the profile of the model say together."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts import METRICS_JSON
from ..data.reading import read_file
from ..models.bundle import Bundle
from ..objectives.base import Objective
from ..rules import require
from .config import MonitoringConfig
from .drift import Drift, drift_of
from .log import FEEDBACK, PREDICTIONS, is_full, read_log
from .profile import columns, described, profile_of

DAY_S = 86_400
MAX_ROWS = 100_000
"""Records whose features are compared: the newest ones."""

Record = Mapping[str, Any]


def summarize(
    bundle: Bundle, version: str, config: MonitoringConfig, *, now: float
) -> dict[str, Any]:
    """Return the report as JSON: days, metrics, drift, and in `alerts` what is past a threshold, or
    that there is nothing to compare.

    Raises:
        ProjectError: The bundle has no profile, or the file of feedback cannot be read.
    """
    profile, objective = profile_of(bundle), bundle.spec.objective
    since = now - config.days * DAY_S
    logged = list(read_log(Path(config.folder), PREDICTIONS))
    records = [one for one in logged if one["time"] >= since]
    oldest = min((one["time"] for one in logged), default=since)
    own = [one for one in records if one["model_version"] == version]
    labels = _feedback(config)
    truth, unknown = _known(labels, objective)
    promised = _promised(bundle, profile["metrics"])
    versions = Counter(one["model_version"] for one in records)
    metrics = _metrics(own, truth, objective)
    drifts = [
        *_drifts(profile["features"], [one.get("features", {}) for one in own], config),
        *_drifts(profile["outputs"], list(map(described, own)), config),
    ]
    return {
        "time": _iso(now),
        "since": _iso(max(since, oldest)),
        "is_cut": oldest > since and is_full(config),
        "model_version": version,
        "num_predictions": len(own),
        "num_with_truth": _num_known(own, truth),
        "num_unknown_labels": unknown,
        "num_unmatched_labels": len(labels.keys() - {one["id"] for one in logged}),
        "versions": versions,
        "promised": {name: promised[name] for name in objective.of_predictions if name in promised},
        "metrics": metrics,
        "days": _days(own, truth, objective),
        "drift": [asdict(one) for one in drifts],
        "alerts": [
            *([] if own else [_unrecorded(version, versions, config)]),
            *_worse(metrics, promised, objective, _num_known(own, truth), config),
            *(
                f"{one.name} drifts: PSI {one.psi:.2f}, p {one.p_value:.2g}"
                for one in drifts
                if one.drifts
            ),
        ],
    }


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def _feedback(config: MonitoringConfig) -> dict[str, Any]:
    """Return the truth by the id of its answer; later feedback replaces earlier."""
    truth = {one["id"]: one["label"] for one in read_log(Path(config.folder), FEEDBACK)}
    if config.feedback:
        for line, row in read_file(Path(config.feedback)):
            has_both = row.get("id") is not None and row.get("label") is not None
            require(has_both, f"{config.feedback}:{line}", "a row with id and label", dict(row))
            truth[str(row["id"])] = row["label"]
    return truth


def _known(truth: Mapping[str, Any], objective: Objective) -> tuple[dict[str, Any], int]:
    """Return the truth that the objective can compare, and how much it cannot."""
    known = {}
    for id_, label in truth.items():
        try:
            encoded = np.asarray(objective.encode([{objective.columns[0]: label}]))
        except Exception:  # of any objective
            continue
        if np.isfinite(encoded).all():
            known[id_] = label
    return known, len(truth) - len(known)


def _promised(bundle: Bundle, validation: Mapping[str, float]) -> Mapping[str, float]:
    """Return the metrics of the test split if `evaluate` was run, else those of validation."""
    if METRICS_JSON.exists():
        tested = json.loads(METRICS_JSON.read_text("utf-8"))
        if tested.get("bundle_version") == bundle.version:
            return tested
    return validation


def _unrecorded(version: str, others: Collection[str], config: MonitoringConfig) -> str:
    """Describe a log without a prediction of a version."""
    missing = f"{config.folder} has no prediction of model {version} in {config.days:g} days"
    if not others:
        return missing
    return f"{missing}, only of {', '.join(others)}: set serving.model as the server has it"


def _num_known(records: Sequence[Record], truth: Mapping[str, Any]) -> int:
    return sum(one["id"] in truth for one in records)


def _metrics(
    records: Sequence[Record], truth: Mapping[str, Any], objective: Objective
) -> dict[str, float]:
    """Return the metrics that predictions alone tell, of those whose truth is known."""
    known = [one for one in records if one["id"] in truth]
    if not known:
        return {}
    column = objective.columns[0]
    targets = objective.encode([{column: truth[one["id"]]} for one in known])
    predicted = objective.encode([{column: one["prediction"]} for one in known])
    pair = objective.without_doubt(targets, predicted)
    return {
        name: float(objective.metrics[name].function(*pair)) for name in objective.of_predictions
    }


def _days(
    records: Sequence[Record], truth: Mapping[str, Any], objective: Objective
) -> list[dict[str, Any]]:
    days: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        days[datetime.fromtimestamp(record["time"], UTC).date().isoformat()].append(record)
    return [
        {
            "day": day,
            "num_predictions": len(some),
            "num_with_truth": _num_known(some, truth),
            "metrics": _metrics(some, truth, objective),
            "confidence": _mean([one["confidence"] for one in some if "confidence" in one]),
            **{
                f"latency_p{share}_ms": round(1e3 * float(np.percentile(latencies, share)), 3)
                for share in (50, 99)
            },
        }
        for day, some in sorted(days.items())
        if (latencies := [one["latency_s"] for one in some])
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _drifts(
    reference: Mapping[str, Sequence[Any]],
    rows: Sequence[Mapping[str, Any]],
    config: MonitoringConfig,
) -> list[Drift]:
    """Return the drift of each feature that is recorded, largest first."""
    current = columns(rows[-MAX_ROWS:])
    found = []
    for name, values in reference.items():
        if name in current:
            drift = drift_of(name, values, current[name])
            drifts = drift.psi > config.max_psi and drift.p_value < config.max_p_value
            found.append(replace(drift, drifts=drifts and drift.num_rows >= config.min_rows))
    return sorted(found, key=lambda one: -one.psi)


def _worse(
    metrics: Mapping[str, float],
    promised: Mapping[str, float],
    objective: Objective,
    number: int,
    config: MonitoringConfig,
) -> list[str]:
    """Describe the first metric if it is worse than promised by more than `max_loss`."""
    name = next(iter(metrics), "")
    if number < config.min_rows or name not in promised:
        return []
    loss = objective.sign(name) * (promised[name] - metrics[name])
    is_worse = loss > config.max_loss * abs(promised[name])
    return [f"{name} is {metrics[name]:.3g}, promised {promised[name]:.3g}"] * is_worse

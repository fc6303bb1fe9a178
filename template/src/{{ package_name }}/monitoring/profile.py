"""The reference of a model, in its bundle: how its inputs and its predictions were distributed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..artifacts import PROCESSED
from ..data.rows import Rows
from ..errors import ProjectError
from ..models.bundle import Bundle

PROFILE = "profile.json"
MAX_ROWS = 1000
"""Rows that represent a split."""

Sample = dict[str, list[Any]]
"""The values of each feature: numbers, or categories; `None` if one is missing."""


def with_profile(bundle: Bundle, outputs: Any, targets: Any) -> Bundle:
    """Return the bundle with samples of its features and predictions, and its metrics.

    All are of the validation split. Encoder and weights were fitted to the training split, of which
    they know each word and are too sure.
    """
    encoder, objective = bundle.spec.encoder, bundle.spec.objective
    rows = Rows(PROCESSED / "validation.parquet")
    rows = Rows(rows.path, kept=np.isin(np.arange(len(rows)), _spaced(len(rows))))
    sample = outputs[_spaced(len(outputs))]
    predictions = objective.predictions(objective.scores(sample))
    profile = {
        "features": columns(encoder.measures(row.values) for row in rows),
        "outputs": columns(described(one._asdict()) for one in predictions),
        "metrics": objective.evaluate(outputs, targets),
    }
    content = json.dumps(profile, ensure_ascii=False, allow_nan=False).encode()
    return replace(bundle, files={**bundle.files, PROFILE: content})


def profile_of(bundle: Bundle) -> dict[str, Any]:
    """Return the profile of a bundle.

    Raises:
        ProjectError: It has none.
    """
    if PROFILE not in bundle.files:
        raise ProjectError(f"model {bundle.version} has no profile; train it again")
    return json.loads(bundle.files[PROFILE])


def described(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers and categories of an answer, whose distribution may drift."""
    prediction = answer["prediction"]
    if isinstance(prediction, Mapping):
        return {f"prediction {name}": number for name, number in prediction.items()}
    if isinstance(prediction, list | tuple):
        shares = answer["confidences"]
        has = {label: "yes" if label in prediction else "no" for label in shares}
        return has | {f"confidence {label}": share for label, share in shares.items()}
    return {name: answer[name] for name in ("prediction", "confidence") if name in answer}


def columns(rows: Iterable[Mapping[str, Any]]) -> Sample:
    """Return the values of each name, in the order of the rows."""
    found: Sample = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


def _spaced(number: int) -> np.ndarray:
    """Return the places of `MAX_ROWS` of so many rows, evenly spaced; or of all."""
    return np.unique(np.linspace(0, number - 1, min(number, MAX_ROWS)).astype(int))

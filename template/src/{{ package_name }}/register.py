"""Fifth stage: make models/bundle/ the registry's champion, if it passes the quality gate."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .compose import stage
from .config import Config, RegistryConfig
from .errors import ProjectError
from .paths import BUNDLE, METRICS_JSON, PROCESSED, REPORTS, require
from .running import running

if TYPE_CHECKING:
    from .evaluation.metrics import Metrics
    from .models.bundle import Bundle
    from .tracking.base import RegisteredModel, Tracker

log = logging.getLogger(__name__)


class GateError(ProjectError):
    """A model is not good enough, or cannot be compared."""


@stage(Config)
@running("register")
def main(config: Config) -> None:
    """Register the bundle, or say why not."""
    from .models.bundle import Bundle
    from .tracking.base import create_tracker

    bundle = Bundle.load(require(BUNDLE, stage="train"))
    metrics = _test_metrics(bundle)
    _require_threshold(metrics, config.registry)

    tracker = create_tracker(replace(config.tracking, system_metrics=False))
    _require_delivered(bundle, tracker)
    champion = tracker.champion(config.registry.model_name)
    if champion and champion.tags.get("bundle_version") == bundle.version:
        log.info("%s is the champion already: version %s", champion.name, champion.version)
        return
    if champion:
        theirs = _champion_metric(champion, tracker, bundle, config)
        _require_no_worse(metrics, theirs, champion.version, config.registry)
    model = _register(bundle, metrics, tracker, config)
    log.info("%s is now the champion: version %s", model.name, model.version)


def _test_metrics(bundle: "Bundle") -> dict[str, float]:
    """Return the figures that `evaluate` wrote about `bundle`."""
    recorded = json.loads(require(METRICS_JSON, stage="evaluate").read_text("utf-8"))
    if recorded.get("bundle_version", bundle.version) != bundle.version:
        raise GateError(f"{METRICS_JSON} is of another bundle; run `make evaluate`")
    return {name: value for name, value in recorded.items() if isinstance(value, float)}


def _require_threshold(metrics: Mapping[str, float], gate: RegistryConfig) -> None:
    value = metrics[gate.metric]
    if not value >= gate.threshold:  # NaN is not either
        limit = f"registry.threshold is {gate.threshold:g}"
        raise GateError(f"not registered: {gate.metric} is {value:.4f}, {limit}")


def _require_delivered(bundle: "Bundle", tracker: "Tracker") -> None:
    run_id = bundle.lineage.run_id
    if run_id and (what := tracker.undelivered(run_id)):
        raise ProjectError(what)


def _require_no_worse(
    metrics: Mapping[str, float], theirs: float, champion: str, gate: RegistryConfig
) -> None:
    value = metrics[gate.metric]
    if not value >= theirs - gate.tolerance:
        limit = f"the champion, version {champion}, has {theirs:.4f}"
        tolerance = f"registry.tolerance is {gate.tolerance:g}"
        raise GateError(f"not registered: {gate.metric} is {value:.4f}, {limit}; {tolerance}")


def _champion_metric(
    champion: "RegisteredModel", tracker: "Tracker", bundle: "Bundle", config: Config
) -> float:
    """Return the champion's metric on the present test split.

    The recorded one where that was the same data, else it is measured now.
    """
    metric = config.registry.metric
    same_data = champion.tags.get("data_hash") == bundle.lineage.data_hash
    if same_data and metric in champion.tags:
        return float(champion.tags[metric])

    from .champion import load_champion

    other = load_champion(tracker, champion)
    if set(other.spec.labels) != set(bundle.spec.labels):
        reason = f"the champion, version {champion.version}, has other labels"
        way_out = "set another registry.model_name for these"
        raise GateError(f"not registered: {reason}; {way_out}")
    return _measure(other, config)[metric]


def _measure(bundle: "Bundle", config: Config) -> "Metrics":
    from .data.dataset import Split
    from .data.validation import read_csv
    from .evaluation.metrics import evaluate

    rows = read_csv(PROCESSED / "test.csv", group_column=config.data.group_column)
    texts = [bundle.encoder.encode(row.text) for row in rows]
    classes = [bundle.spec.labels.index(row.label) for row in rows]
    return evaluate(bundle.model, Split.from_rows(texts, classes))


def _register(
    bundle: "Bundle", metrics: Mapping[str, float], tracker: "Tracker", config: Config
) -> "RegisteredModel":
    lineage = bundle.lineage
    with tracker.start(lineage.run_id):
        if tracker.run_id != lineage.run_id:  # the bundle came by `dvc pull`, its run is elsewhere
            tracker.log_config(config, tags=lineage.tags())
            tracker.log_metrics({f"test_{name}": value for name, value in metrics.items()}, step=0)
            tracker.log_folder(REPORTS, "reports")
        tracker.log_folder(BUNDLE, "model")
        model = tracker.register(
            config.registry.model_name,
            description=_description(metrics, bundle),
            tags=bundle.tags() | {name: repr(value) for name, value in metrics.items()},
        )
        tracker.promote(model)
    return model


def _description(metrics: Mapping[str, float], bundle: "Bundle") -> str:
    figures = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    lineage = bundle.lineage
    commit = f"{lineage.git_commit}{' with changes' if lineage.git_dirty else ''}"
    return f"Test split: {figures}. Data {lineage.data_hash}, commit {commit}."


if __name__ == "__main__":
    main()

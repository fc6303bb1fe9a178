"""Fifth stage: make models/bundle/ the registry's champion, if it passes the quality gate."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .artifacts import BUNDLE, METRICS_JSON, PROCESSED, REPORTS, require
from .compose import stage
from .config import Config, RegistryConfig
from .errors import ProjectError
from .rules import require as require_setting
from .running import running

if TYPE_CHECKING:
    from .models.bundle import Bundle
    from .tracking.registry import RegisteredModel, Registry

log = logging.getLogger(__name__)


class GateError(ProjectError):
    """A model is not good enough, or cannot be compared."""


@stage(Config)
@running("register")
def main(config: Config) -> None:
    """Register the bundle if it passes the gate, else exit with the reason."""
    from .models.bundle import Bundle
    from .models.export import check_bundle
    from .tracking.registry import create_registry

    bundle = Bundle.load(require(BUNDLE, stage="train"))
    check_bundle(bundle)
    metrics, baselines = _test_results(bundle)
    objective = bundle.spec.objective
    metric = objective.chosen(config.registry.metric, setting="registry.metric")
    gate, sign, value = config.registry, objective.sign(metric), metrics[metric]
    limit, reason = _limit(gate, metric, baselines, sign=sign)
    _require_as_good(metric, value, limit, reason, sign=sign)

    if config.tracking.name == "none":
        log.info("the model passes the quality gate; tracking=none has no registry to keep it")
        return
    registry = create_registry(config.tracking)
    champion = registry.champion(gate.model_name)
    if champion and champion.tags.get("bundle_version") == bundle.version:
        log.info("%s is the champion already: version %s", champion.name, champion.version)
        return
    if champion:
        theirs = _champion_metric(metric, champion, registry, bundle, config)
        reason = f"the champion, version {champion.version}, has {theirs:.4f}"
        reason += f"; registry.tolerance is {gate.tolerance:g}"
        limit = theirs - sign * gate.tolerance
        _require_as_good(metric, value, limit, reason, sign=sign)
    model = _register(bundle, metrics, registry, config)
    log.info("%s is now the champion: version %s", model.name, model.version)


def _test_results(bundle: "Bundle") -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return the metrics that `evaluate` wrote for `bundle`, and those of each baseline."""
    recorded = json.loads(require(METRICS_JSON, stage="evaluate").read_text("utf-8"))
    if recorded.get("bundle_version", bundle.version) != bundle.version:
        raise GateError(f"{METRICS_JSON} is of another bundle; run `make evaluate`")
    metrics = {name: value for name, value in recorded.items() if isinstance(value, float)}
    return metrics, recorded.get("baselines", {})


def _limit(
    gate: RegistryConfig, metric: str, baselines: Mapping[str, Mapping[str, float]], *, sign: int
) -> tuple[float, str]:
    """Return the value that the metric must reach, and where it comes from."""
    if gate.threshold is not None:
        return gate.threshold, f"registry.threshold is {gate.threshold:g}"
    name, constant = next(iter(baselines.items()), ("", {}))
    require_setting(metric in constant, "registry.threshold", f"a number for {metric}", None)
    # To be only as good as the baseline is not enough.
    limit = math.nextafter(constant[metric], sign * math.inf)
    return limit, f"the baseline {name} has {constant[metric]:.4f}"


def _require_as_good(metric: str, value: float, limit: float, reason: str, *, sign: int) -> None:
    """Raise a GateError if `value` is worse than `limit`."""
    if not sign * value >= sign * limit:  # also true for NaN
        raise GateError(f"not registered: {metric} is {value:.4f}, {reason}")


def _champion_metric(
    metric: str, champion: "RegisteredModel", registry: "Registry", bundle: "Bundle", config: Config
) -> float:
    """Return the champion's metric on the current test split.

    This is the recorded value if the data is the same; otherwise the champion is evaluated now.
    """
    same_data = champion.tags.get("data_hash") == bundle.lineage.data_hash
    if same_data and metric in champion.tags:
        return float(champion.tags[metric])

    other = registry.load(champion)
    about, wanted = other.spec.objective.about(), bundle.spec.objective.about()
    if about != wanted:
        what = " and ".join(about.keys() | wanted.keys())
        raise GateError(
            f"not registered: the champion, version {champion.version}, has other {what}; "
            "set another registry.model_name for these"
        )
    return _measure(other)[metric]


def _measure(bundle: "Bundle") -> dict[str, float]:
    from .data.dataset import Split
    from .data.rows import Rows
    from .evaluation.int8 import served_outputs

    encoder, objective = bundle.spec.encoder, bundle.spec.objective
    rows = [row.values for row in Rows(PROCESSED / "test.parquet")]
    split = Split.from_rows(map(encoder.encode, rows), objective.encode(rows))
    return objective.evaluate(served_outputs(bundle, split), split.targets.numpy())


def _register(
    bundle: "Bundle", metrics: Mapping[str, float], registry: "Registry", config: Config
) -> "RegisteredModel":
    from .tracking.base import create_tracker, run_name

    lineage = bundle.lineage
    tracker = create_tracker(replace(config.tracking, system_metrics=False))
    with tracker.start(run_name(config), run_id=lineage.run_id):
        if tracker.run_id != lineage.run_id:  # the bundle came by `dvc pull`, its run is elsewhere
            tracker.log_config(config, tags=lineage.tags())
            tracker.log_metrics({f"test_{name}": value for name, value in metrics.items()}, step=0)
            tracker.log_folder(REPORTS, "reports")
            tracker.log_bundle(BUNDLE, bundle.sha256)
        model = registry.register(
            config.registry.model_name,
            BUNDLE,
            run=tracker,
            description=_description(metrics, bundle),
            tags=bundle.tags() | {name: repr(value) for name, value in metrics.items()},
        )
        registry.promote(model, run=tracker)
    return model


def _description(metrics: Mapping[str, float], bundle: "Bundle") -> str:
    figures = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    lineage = bundle.lineage
    commit = f"{lineage.git_commit}{' with changes' if lineage.git_dirty else ''}"
    return f"Test split: {figures}. Data {lineage.data_hash}, commit {commit}."


if __name__ == "__main__":
    main()

"""Fourth stage: evaluate the model on the test split and write reports/."""

import logging
from dataclasses import replace

from .artifacts import BUNDLE, MODEL_CARD, PROCESSED, REPORTS, new_folder, require
from .compose import stage
from .config import Config
from .errors import ProjectError
from .running import running

log = logging.getLogger(__name__)


@stage(Config)
@running("evaluate")
def main(config: Config) -> None:
    """Write metrics, predictions, plots and the model card of models/bundle/."""
    from .data.preprocessing import SplitName
    from .data.rows import Rows
    from .data.spec import DataSpec
    from .evaluation.model_card import model_card
    from .evaluation.report import TIMES_JSON, evaluate_bundle
    from .models.bundle import Bundle
    from .tracking.base import create_tracker, run_name

    bundle = Bundle.load(require(BUNDLE, stage="train"))
    processed = require(PROCESSED, stage="preprocess")
    untuned = replace(bundle.spec, objective=bundle.spec.objective.untuned())
    if DataSpec.load(processed) != untuned:
        raise ProjectError(f"{BUNDLE} was trained on other data than {processed}; run `make train`")
    rows = {name.value: Rows(processed / f"{name}.parquet") for name in SplitName}
    report = evaluate_bundle(bundle, processed, rows)
    with new_folder(REPORTS, keep_others=True) as new:
        report.save(new)
        (new / MODEL_CARD.name).write_text(model_card(report, config), "utf-8")
    if report.quantised is None:  # else they would be those of another model
        (REPORTS / TIMES_JSON).unlink(missing_ok=True)
    tracker = create_tracker(config.tracking)
    with tracker.start(run_name(config), run_id=bundle.lineage.run_id):
        tracker.log_metrics(
            {f"test_{name}": value for name, value in report.metrics.items()}, step=0
        )
        tracker.log_folder(REPORTS, "reports")
    log.info("%s", report.table())


if __name__ == "__main__":
    main()

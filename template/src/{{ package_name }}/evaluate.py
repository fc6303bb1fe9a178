"""Fourth stage: look at the test split once and write reports/."""

import logging

from .compose import stage
from .config import Config
from .paths import BUNDLE, MODEL_CARD, PROCESSED, REPORTS, require

log = logging.getLogger(__name__)


@stage(Config)
def main(config: Config) -> None:
    """Write metrics, predictions, plots and the model card of models/bundle/."""
    from .evaluation.model_card import model_card
    from .evaluation.report import evaluate_bundle
    from .models.bundle import Bundle
    from .tracking.base import create_tracker

    bundle = Bundle.load(require(BUNDLE, stage="train"))
    report = evaluate_bundle(
        bundle, require(PROCESSED, stage="preprocess"), group_column=config.data.group_column
    )
    report.save(REPORTS)
    MODEL_CARD.write_text(model_card(report, config), "utf-8")
    with create_tracker(config.tracking).start(bundle.lineage.run_id) as tracker:
        tracker.log_metrics(
            {f"test_{name}": value for name, value in report.metrics.to_dict().items()}, step=0
        )
        tracker.log_folder(REPORTS, "reports")
    log.info("%s", report.table())


if __name__ == "__main__":
    main()

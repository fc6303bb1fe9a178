"""Fourth stage: look at the test split once and write reports/."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from .artifacts import new_folder
from .compose import stage
from .config import Config
from .errors import ProjectError
from .paths import BUNDLE, MODEL_CARD, PROCESSED, REPORTS, require
from .running import running

if TYPE_CHECKING:
    from .models.bundle import Bundle

log = logging.getLogger(__name__)


@stage(Config)
@running("evaluate")
def main(config: Config) -> None:
    """Write metrics, predictions, plots and the model card of models/bundle/."""
    from .evaluation.model_card import model_card
    from .evaluation.report import evaluate_bundle
    from .models.bundle import Bundle
    from .tracking.base import create_tracker

    bundle = Bundle.load(require(BUNDLE, stage="train"))
    _require_same_encoding(bundle, require(PROCESSED, stage="preprocess"))
    report = evaluate_bundle(bundle, PROCESSED, group_column=config.data.group_column)
    with new_folder(REPORTS, keep_others=True) as new:
        report.save(new)
        (new / MODEL_CARD.name).write_text(model_card(report, config), "utf-8")
    with create_tracker(config.tracking).start(bundle.lineage.run_id) as tracker:
        tracker.log_metrics(
            {f"test_{name}": value for name, value in report.metrics.to_dict().items()}, step=0
        )
        tracker.log_folder(REPORTS, "reports")
    log.info("%s", report.table())


def _require_same_encoding(bundle: "Bundle", processed: Path) -> None:
    """Raise where the ids and classes in `processed` are not those of the bundle."""
    from .data.preprocessing import load_encoder
    from .data.spec import DataSpec

    if (load_encoder(processed), DataSpec.load(processed)) != (bundle.encoder, bundle.spec):
        raise ProjectError(f"{BUNDLE} was trained on other data than {processed}; run `make train`")


if __name__ == "__main__":
    main()

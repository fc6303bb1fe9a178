"""Compare what a model did in production with what it was trained on and promised.

The exit code is 4 if a threshold is passed, so that a scheduler can act.
"""

import json
import logging
import sys
import time

from .artifacts import REPORTS, new_file
from .compose import stage
from .monitoring.config import MonitoringConfig
from .rules import typed
from .serving.config import ServeConfig

DRIFTED = 4
"""The exit code for alerts."""

log = logging.getLogger(__name__)


@stage(ServeConfig, "serve")
def main(config: ServeConfig) -> None:
    """Write reports/monitoring.html, and what it shows as JSON."""
    from .monitoring.page import page
    from .monitoring.report import summarize
    from .serving.source import load_bundle

    settings = typed("monitoring", MonitoringConfig, config.monitoring)
    bundle, version = load_bundle(config)
    summary = summarize(bundle, version, settings, now=time.time())
    for name, text in (
        ("monitoring.json", json.dumps(summary, indent=2, ensure_ascii=False)),
        ("monitoring.html", page(summary)),
    ):
        with new_file(REPORTS / name) as new:
            new.write_text(text, "utf-8")
    log.info("%s: %s predictions", REPORTS / "monitoring.html", f"{summary['num_predictions']:,}")
    for alert in summary["alerts"]:
        log.warning("%s", alert)
    if summary["alerts"]:
        sys.exit(DRIFTED)


if __name__ == "__main__":
    main()

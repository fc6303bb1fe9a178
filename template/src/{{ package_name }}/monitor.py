"""Compare what a model did in production with what it was trained on and promised.

The exit code is 4 if a threshold is passed, and 5 if the log has nothing of the model, so that a
scheduler can act.
"""

import json
import logging
import sys
import time
from pathlib import Path

from .artifacts import REPORTS, new_file
from .compose import stage
from .monitoring.config import MonitoringConfig
from .rules import typed
from .serving.config import ServeConfig

DRIFTED = 4
"""The exit code for alerts."""
UNRECORDED = 5
"""The exit code if there is nothing to compare, after which another training would not help."""
COUNTS = (
    "predictions: {num_predictions:,}, with their truth: {num_with_truth:,}, "
    "labels that match none: {num_unmatched_labels:,}"
)

log = logging.getLogger(__name__)


@stage(ServeConfig, "serve")
def main(config: ServeConfig) -> None:
    """Write reports/monitoring.html, what it shows as JSON, and the metrics of servers."""
    from .monitoring.log import SUMMARY
    from .monitoring.page import page
    from .monitoring.report import summarize
    from .serving.source import load_bundle

    settings = typed("monitoring", MonitoringConfig, config.monitoring)
    bundle, version = load_bundle(config)
    now = time.time()
    summary = summarize(bundle, version, settings, now=now)
    for name, text in (
        ("monitoring.json", json.dumps(summary, indent=2, ensure_ascii=False)),
        ("monitoring.html", page(summary)),
    ):
        with new_file(REPORTS / name) as new:
            new.write_text(text, "utf-8")
    short = {
        "timestamp": now,
        "model_version": version,
        "num_alerts": len(summary["alerts"]),
        # The largest comes first, and stays if an input and an output have one name.
        "psi": {one["name"]: one["psi"] for one in reversed(summary["drift"])},
    }
    try:
        with new_file(Path(settings.folder) / SUMMARY) as new:
            new.write_text(json.dumps(short), "utf-8")
    except OSError as error:  # the log may belong to the user of the server
        log.warning("%s: %s; /metrics keeps the last report", settings.folder, error.strerror)
    log.info("%s: %s", REPORTS / "monitoring.html", COUNTS.format_map(summary))
    if summary["is_cut"]:
        log.warning(
            "%s is full and begins at %s, not %g days ago; raise monitoring.max_bytes or max_files",
            *(settings.folder, summary["since"], settings.days),
        )
    for alert in summary["alerts"]:
        log.warning("%s", alert)
    if summary["alerts"]:
        sys.exit(DRIFTED if summary["num_predictions"] else UNRECORDED)


if __name__ == "__main__":
    main()

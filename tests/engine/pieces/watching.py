"""A callback that says what else would leave no trace: what was logged, which checkpoints lie."""

import logging
from collections.abc import Mapping

from toy_project.artifacts import CHECKPOINTS
from toy_project.training.trainer import Callback, Trainer

log = logging.getLogger(__name__)


class Watching(Callback):
    """Repeats figures that only a tracker gets, without the speed, and names files on disk."""

    def on_log(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        """Say the figures."""
        figures = {name: value for name, value in metrics.items() if name != "samples_per_s"}
        log.info("step %d: %s", trainer.progress.step, figures)

    def on_step_end(self, trainer: Trainer) -> None:
        """Name the checkpoints of the steps before this one."""
        log.info("checkpoints: %s", sorted(path.name for path in CHECKPOINTS.glob("step-*")))

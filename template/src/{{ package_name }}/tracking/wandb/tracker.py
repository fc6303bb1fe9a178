"""One run in Weights & Biases. A project of W&B is an experiment here.

Metrics are logged together with `step`, the x-axis of the charts, instead of with W&B's own step:
W&B drops values whose own step is lower than an earlier one, as after a run has resumed.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal, Self

from ...config import Config, TrackingConfig
from ..base import RunStatus, Tracker
from .mode import recordings, translated

# isort: split
import wandb
from wandb.apis.public.runs import RunNotFoundError
from wandb.errors import CommError

log = logging.getLogger(__name__)

STEP = "step"
MODEL = "model"
EXIT_CODES = {RunStatus.finished: 0, RunStatus.failed: 1, RunStatus.killed: 130}


class WandbTracker(Tracker):
    """Records one run on the server; a folder is an artifact of it."""

    _mode: Literal["offline"] | None = None
    """`None` uses WANDB_MODE."""

    def __init__(self, config: TrackingConfig) -> None:
        super().__init__(config)
        self._run: wandb.Run | None = None

    @property
    def run_id(self) -> str | None:
        return self._run.id if self._run else None

    @property
    def _open_run(self) -> wandb.Run:
        assert self._run, "no run was started"
        return self._run

    @translated()
    def start(self, name: str, *, run_id: str | None = None) -> Self:
        known_id = run_id if run_id and self._is_known(run_id) else None
        self._run = wandb.init(
            project=self.config.experiment,
            name=None if known_id else name,
            id=known_id,
            mode=self._mode,
            resume="must" if known_id and self._mode != "offline" else None,
            settings=wandb.Settings(
                root_dir=str(recordings().parent.resolve()),
                console="off",
                reinit="create_new",  # do not reuse a run of other code
                x_disable_stats=not self.config.system_metrics,
            ),
        )
        if self._run.url:
            log.info("recording %s", self._run.url)
        if run_id and not known_id:
            log.info("run %s is not recorded in %s; a new run begins", run_id, self._place)
        self._run.define_metric(STEP)
        self._run.define_metric("*", step_metric=STEP)
        return self

    @property
    def _place(self) -> str:
        return f"the project {self.config.experiment}"

    def _is_known(self, run_id: str) -> bool:
        try:
            wandb.Api({"project": self.config.experiment}).run(run_id)
        except CommError as error:
            if isinstance(error.exc, RunNotFoundError):
                return False
            raise
        return True

    @translated()
    def log_config(self, config: Config, *, tags: Mapping[str, str]) -> None:
        """Record every setting, and the tags beside them as `lineage`."""
        settings = json.loads(json.dumps(asdict(config)))
        self._open_run.config.update(settings | {"lineage": dict(tags)}, allow_val_change=True)

    @translated()
    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        self._open_run.log({STEP: step, **metrics})

    @translated()
    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of `folder` as the run's artifact `name`."""
        self.log_artifact(folder, name, kind=name)

    def log_artifact(
        self,
        folder: Path,
        name: str,
        *,
        kind: str = MODEL,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        aliases: list[str] | None = None,
    ) -> wandb.Artifact:
        """Return the artifact of the run that holds the files of `folder`."""
        artifact = wandb.Artifact(name, kind, description, dict(tags or {}))
        artifact.add_dir(str(folder))
        return self._open_run.log_artifact(artifact, aliases=aliases)

    @translated()
    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        self._open_run.finish(exit_code=EXIT_CODES[status])


class OfflineTracker(WandbTracker):
    """Records one run in wandb/, which `wandb sync` sends to the server.

    A run that resumes is a second recording with the same id.
    """

    _mode = "offline"

    @property
    def _place(self) -> str:
        return str(recordings())

    def _is_known(self, run_id: str) -> bool:
        return any(path.stem == f"run-{run_id}" for path in recordings().glob("*run-*/*.wandb"))

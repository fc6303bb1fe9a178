"""Runs and models in Weights & Biases: with an account, or offline in the folder wandb/.

Every figure is logged beside `step`, which the charts have as their x-axis: a run may go on after
an evaluation, and W&B drops what comes with a step of its own that is lower than one before.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Self

from ..config import Config, TrackingConfig
from .base import RegisteredModel, RunStatus, Tracker, TrackingError
from .local_registry import ALIAS, LocalRegistry, filled

# Read when wandb is imported. It would print banners, ask for a key, report its own crashes, keep
# the files of offline runs in the home folder, and wait a minute and a half for a dead server.
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_DIR", ".")
os.environ.setdefault("WANDB_DATA_DIR", f"{os.environ['WANDB_DIR']}/wandb")
os.environ.setdefault("WANDB_INIT_TIMEOUT", "30")

import wandb
from wandb.apis.public.runs import RunNotFoundError
from wandb.errors import CommError, UsageError

log = logging.getLogger(__name__)

STEP = "step"
MODEL = "model"
REGISTRY = "wandb-registry-model"
EXIT_CODES = {RunStatus.finished: 0, RunStatus.failed: 1, RunStatus.killed: 130}
OFFLINE = "record offline with WANDB_MODE=offline"


def recordings() -> Path:
    """Return the folder of runs that were recorded here: `wandb` in WANDB_DIR, or in this one."""
    return Path(os.environ["WANDB_DIR"], "wandb")


@contextmanager
def _translated() -> Generator[None]:
    """Turn what wandb and the connection raise into one line."""
    try:
        yield
    except (wandb.Error, OSError, ValueError) as error:
        raise TrackingError(_explain(error)) from error


def _explain(error: Exception) -> str:
    message = _one_line(error)
    if re.search("deadline exceeded|giving up|timed out", message, re.IGNORECASE):
        return f"no answer from Weights & Biases; try again, or {OFFLINE}"
    return f"Weights & Biases: {message}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


class WandbTracker(Tracker):
    """Records one run on the server; a model is an artifact of its project, linked to the registry.

    A project of W&B is an experiment here.
    """

    def __init__(self, config: TrackingConfig) -> None:
        super().__init__(config)
        self._run: wandb.Run | None = None
        self._folders: dict[str, Path] = {}

    @property
    def run_id(self) -> str | None:
        """The id of the run."""
        return self._run.id if self._run else None

    @property
    def _open_run(self) -> wandb.Run:
        assert self._run, "no run was started"
        return self._run

    @cached_property
    def _api(self) -> wandb.Api:
        return wandb.Api({"project": self.config.experiment})

    @_translated()
    def start(self, run_id: str | None = None) -> Self:
        """Begin a run, or go on with the run `run_id` where it is known."""
        known_id = run_id if run_id and self._is_known(run_id) else None
        self._run = self._begin(known_id)
        if run_id and not known_id:
            log.info("run %s is not recorded in %s; a new run begins", run_id, self._place)
        self._run.define_metric(STEP)
        self._run.define_metric("*", step_metric=STEP)
        return self

    def _begin(self, known_id: str | None) -> wandb.Run:
        run = wandb.init(
            project=self.config.experiment,
            id=known_id,
            resume="must" if known_id else None,
            settings=self._settings(),
        )
        log.info("recording %s", run.url)
        return run

    def _settings(self) -> wandb.Settings:
        return wandb.Settings(
            root_dir=str(recordings().parent.resolve()),
            console="off",
            reinit="create_new",  # this run is no one else's `wandb.run`
            x_disable_stats=not self.config.system_metrics,
        )

    @property
    def _place(self) -> str:
        return f"the project {self.config.experiment}"

    def _is_known(self, run_id: str) -> bool:
        try:
            self._api.run(run_id)
        except CommError as error:
            if isinstance(error.exc, RunNotFoundError):
                return False
            raise
        return True

    @_translated()
    def log_config(self, config: Config, *, tags: Mapping[str, str]) -> None:
        """Record every setting, and the tags beside them as `lineage`."""
        settings = json.loads(json.dumps(asdict(config)))
        self._open_run.config.update(settings | {"lineage": dict(tags)}, allow_val_change=True)

    @_translated()
    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Record `metrics` beside the optimizer step `step`."""
        self._open_run.log({STEP: step, **metrics})

    @_translated()
    def log_folder(self, folder: Path, name: str) -> None:
        """Store the files of `folder` as the run's artifact `name`."""
        self._log_artifact(folder, name, kind=name)
        self._folders[name] = folder

    def _log_artifact(
        self,
        folder: Path,
        name: str,
        *,
        kind: str = MODEL,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        aliases: list[str] | None = None,
    ) -> wandb.Artifact:
        artifact = wandb.Artifact(name, kind, description, dict(tags or {}))
        artifact.add_dir(str(folder))
        return self._open_run.log_artifact(artifact, aliases=aliases)

    @_translated()
    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        """End the run."""
        self._open_run.finish(exit_code=EXIT_CODES[status])

    @_translated()
    def register(
        self, model_name: str, *, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        """Return the version of the artifact `model_name` that the run's folder `model` is.

        Files that were registered before, by whichever run, are the version they were then.
        """
        artifact = self._log_artifact(self._folders[MODEL], model_name).wait()
        artifact.metadata = dict(tags)
        artifact.description = description
        artifact.save()
        return RegisteredModel(model_name, artifact.version, dict(tags))

    @_translated()
    def champion(self, model_name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        path = f"{model_name}:{ALIAS}"
        if not self._api.artifact_exists(path, MODEL):
            return None
        artifact = self._api.artifact(path, MODEL)
        return RegisteredModel(model_name, artifact.version, artifact.metadata)

    @_translated()
    def promote(self, model: RegisteredModel) -> None:
        """Move the alias `champion` to `model`, in the project and in the registry."""
        artifact = self._api.artifact(f"{model.name}:{model.version}", MODEL)
        artifact.aliases = [*artifact.aliases, ALIAS]
        artifact.save()
        try:
            artifact.link(f"{REGISTRY}/{model.name}", [ALIAS])
        except CommError as error:
            log.warning("champion in %s only: %s", self._place, _one_line(error))

    @_translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Fetch the bundle of `model` in place of what `folder` holds; return `folder`."""
        artifact = self._api.artifact(f"{model.name}:{model.version}", MODEL)
        with filled(folder) as new:
            artifact.download(str(new))
        return folder


class OfflineTracker(WandbTracker):
    """Records one run in wandb/, which `wandb sync` sends to the server.

    Nothing can be read back from such a run, so versions and the champion are kept beside it.
    """

    def __init__(self, config: TrackingConfig) -> None:
        super().__init__(config)
        self._registry = LocalRegistry(recordings() / "registry")

    def _begin(self, known_id: str | None) -> wandb.Run:
        """Begin a run. One that goes on is a second recording with the same id."""
        return wandb.init(
            project=self.config.experiment, id=known_id, mode="offline", settings=self._settings()
        )

    @property
    def _place(self) -> str:
        return str(recordings())

    def _is_known(self, run_id: str) -> bool:
        return any(path.stem == f"run-{run_id}" for path in recordings().glob("*run-*/*.wandb"))

    @_translated()
    def register(
        self, model_name: str, *, description: str, tags: Mapping[str, str]
    ) -> RegisteredModel:
        """Return the version of `model_name` that the run's folder `model` now is."""
        bundle = self._folders[MODEL]
        self._log_artifact(bundle, model_name, description=description, tags=tags)
        return self._registry.add(model_name, bundle, tags)

    @_translated()
    def champion(self, model_name: str) -> RegisteredModel | None:
        """Return the version with the alias `champion`, if there is one."""
        return self._registry.champion(model_name)

    @_translated()
    def promote(self, model: RegisteredModel) -> None:
        """Move the alias `champion` to `model`; on the server too, once this run is synced."""
        bundle = self._registry.bundle(model)
        self._log_artifact(bundle, model.name, tags=model.tags, aliases=[ALIAS])
        self._registry.promote(model)

    @_translated()
    def download(self, model: RegisteredModel, folder: Path) -> Path:
        """Copy the bundle of `model` in place of what `folder` holds; return `folder`."""
        with filled(folder) as new:
            shutil.copytree(self._registry.bundle(model), new, dirs_exist_ok=True)
        return folder


def create(config: TrackingConfig) -> WandbTracker:
    """Return the tracker for the mode that WANDB_MODE or `wandb offline` chose; online without.

    Raises:
        TrackingError: There is no key; nothing was asked, of the user or of the server.
    """
    if os.environ.get("WANDB_MODE") == "disabled":
        raise TrackingError("WANDB_MODE=disabled records nothing; set tracking=none, or unset it")
    try:
        with _translated():
            has_key = wandb.login(verify=False)
    except TrackingError as error:
        if not isinstance(error.__cause__, UsageError):
            raise
        ways_out = f"run `wandb login`, set WANDB_API_KEY, or {OFFLINE}"
        raise TrackingError(f"there is no key for Weights & Biases: {ways_out}") from error
    return WandbTracker(config) if has_key else OfflineTracker(config)

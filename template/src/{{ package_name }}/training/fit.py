"""The training of a model in one process, which may be one of a group."""

import logging
import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from ..artifacts import BUNDLE, CHECKPOINTS, CODE, HISTORY_CSV, PROCESSED, TRACE, require
from ..config import Config, Export, TrackingConfig
from ..data.dataset import Split
from ..data.spec import DataSpec, check_settings
from ..errors import file_errors
from ..lineage import Lineage, current_lineage, save_code
from ..lookup import find_optional
from ..models.base import Model, build_model, model_settings, predict_outputs
from ..models.bundle import Bundle
from ..models.export import make_bundle
from ..rules import ConfigError
from ..running import running
from ..tracking.base import Tracker, create_tracker, run_name
from .callbacks import (
    Checkpointing,
    EarlyStopping,
    History,
    Interruption,
    Profiling,
    ProgressBar,
    Tracking,
    chosen_callbacks,
)
from .checkpoint import (
    START_AGAIN,
    Checkpoint,
    CheckpointError,
    Checkpoints,
    find_checkpoint,
    settings_of,
)
from .distributed import (
    choose_device,
    from_main,
    process_group,
    rank,
    seed_everything,
    set_threads,
)
from .optimizers import check_optimizer
from .schedules import check_schedule
from .trainer import Callback, Trainer

log = logging.getLogger(__name__)

KEPT = Checkpoints(CHECKPOINTS)


@file_errors()
def fit(config: Config, *, starts_over: bool = False) -> None:
    """Train, or resume an interrupted run, and save the bundle of the best weights.

    With `starts_over`, start a new run if the interrupted one had other settings.
    """
    check_schedule(config.schedule)
    check_optimizer(config.optimizer)
    model_settings(config.model)
    chosen = chosen_callbacks(config.training.callbacks)
    set_threads(config.launcher)
    device = choose_device(config.launcher.device)
    with process_group(device), ExitStack() as held:
        # The lock is held by the process that writes, which may outlive its launcher.
        from_main(lambda: held.enter_context(running("train")))
        if rank() > 0:
            logging.disable(logging.INFO)  # rank 0 logs for all
        # A function of its own frees all references to the group before the group is destroyed:
        # freed later, they would wait for a thread that waits for the GIL.
        best_step = _fit(config, device, chosen, starts_over=starts_over)
        if rank() == 0:
            KEPT.complete(best_step)


def _fit(config: Config, device: torch.device, chosen: list[Callback], *, starts_over: bool) -> int:
    """Return the step after which the weights were the best."""
    spec = DataSpec.load(require(PROCESSED, stage="preprocess"))
    check_settings(PROCESSED, config)
    model = _new_model(config, spec)
    lineage = current_lineage(config, run_id=None)
    settings = settings_of(config, data_hash=lineage.data_hash)
    path = from_main(lambda: _checkpoint(config, settings, model, starts_over=starts_over))
    checkpoint = Checkpoint.load(path) if path else None
    if checkpoint is None:
        model.start()
    # Only rank 0 is tracked.
    recorded = config.tracking if rank() == 0 else TrackingConfig()
    run_id = checkpoint.run_id if checkpoint else None
    with create_tracker(recorded).start(run_name(config), run_id=run_id) as tracker:
        lineage = replace(lineage, run_id=tracker.run_id)
        arguments = check_optimizer(config.optimizer)
        optimizer = replace(config.optimizer, arguments=arguments)
        tracker.log_config(replace(config, optimizer=optimizer), tags=lineage.tags())
        if tracker.run_id:
            tracker.log_folder(save_code(CODE), "code")
        callbacks = [*chosen, *_callbacks(config, tracker, settings)]
        trainer = Trainer(model, spec.objective, config, device=device, callbacks=callbacks)
        if checkpoint:
            _resume(trainer, checkpoint)
        paths = (PROCESSED / f"{name}.safetensors" for name in ("train", "validation"))
        train, validation = map(Split.load, paths)
        trainer.fit(train, validation)
        if rank() == 0:
            bundle = _save_bundle(trainer, validation, spec, lineage)
            tracker.log_bundle(BUNDLE, bundle.sha256)
    return trainer.progress.best_step


def _new_model(config: Config, spec: DataSpec) -> Model:
    """Return a model with the same weights on every rank, then seed each rank's dropout."""
    seed_everything(config.seed, deterministic=config.training.deterministic)
    try:
        model = build_model(config.model, spec)
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        raise ConfigError("there is no memory for a model of this size; see model.*") from error
    if rank() > 0:
        torch.manual_seed(config.seed + rank())
    return model


def _checkpoint(
    config: Config, settings: dict[str, str], model: Model, *, starts_over: bool
) -> Path | None:
    """Return the checkpoint to resume from, or `None` for a new run.

    Checkpoints of another run are deleted, so that a restart of this one does not find them.
    """
    weights = model.state_dict()
    found = find_checkpoint(config, KEPT, settings, weights, starts_over=starts_over)
    if found is None:
        KEPT.clear()
        return None
    if config.resume != "auto":
        if found[0].parent.resolve() != KEPT.folder.resolve():
            HISTORY_CSV.unlink(missing_ok=True)
        return KEPT.restart_from(*found)
    return found[0]


def _callbacks(config: Config, tracker: Tracker, settings: dict[str, str]) -> list[Callback]:
    """Return the built-in callbacks; a checkpoint is saved after the others have seen the step."""
    checkpointing = Checkpointing(KEPT, settings=settings, run_id=tracker.run_id)
    on_every_rank: list[Callback] = [checkpointing, Interruption(checkpointing)]
    if not config.training.overfit_batches:  # where only the training loss counts
        on_every_rank.insert(0, EarlyStopping(config.training.patience))
    if rank() > 0:
        return on_every_rank
    watching: list[Callback] = [ProgressBar(), History(HISTORY_CSV), Tracking(tracker)]
    if config.training.profile_steps:
        watching.append(Profiling(TRACE, config.training.profile_steps))
    return [*watching, *on_every_rank]


def _resume(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Resume from the checkpoint; if the best weights so far are missing, reset the best step."""
    try:
        trainer.load_state_dict(checkpoint.trainer)
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        message = f"the checkpoint does not fit this optimizer: {reason}; {START_AGAIN}"
        raise CheckpointError(message) from error
    progress = trainer.progress
    log.info("resuming after step %d", progress.step)
    if progress.best_step and from_main(lambda: KEPT.load(progress.best_step) is None):
        log.warning("the best weights so far, of step %d, are missing", progress.best_step)
        progress.best, progress.best_step = None, 0


def _save_bundle(trainer: Trainer, validation: Split, spec: DataSpec, lineage: Lineage) -> Bundle:
    """Write the bundle of the best weights, or of the last if the best could not be saved.

    Its objective is tuned to the outputs of these weights for the validation split, on which they
    are measured then.
    """
    best_step = trainer.progress.best_step
    if best := KEPT.load(best_step):
        trainer.load_state_dict(best.trainer)
    outputs = predict_outputs(trainer.evaluated_model, validation)
    targets = validation.targets.numpy()
    spec = replace(spec, objective=spec.objective.tuned(outputs, targets))
    metrics = spec.objective.evaluate(outputs, targets).items()
    finite = {name: value for name, value in metrics if math.isfinite(value)}
    lineage = replace(lineage, validation_metrics=finite)
    model = trainer.evaluated_model.cpu().finished()
    export = trainer.config.export
    exports, quantises = export is not Export.none, export is Export.int8
    bundle = make_bundle(model, spec, lineage, validation, exports=exports, quantises=quantises)
    if with_profile := find_optional("with_profile", folder="monitoring", name="profile"):
        bundle = with_profile(bundle, outputs, targets)
    bundle.save(BUNDLE)
    step, monitor = trainer.progress.step, trainer.monitor
    if best:
        log.info("%s: step %d, %s %.4g", BUNDLE, step, monitor, trainer.progress.best)
    else:
        message = "%s: step %d; the best weights, of step %d, were not kept"
        log.warning(message, BUNDLE, step, best_step)
    return bundle

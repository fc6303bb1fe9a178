"""The training of a model, as one process runs it: alone, or as one of a group that shares it."""

import logging
from dataclasses import replace

import torch

from ..config import Config, TrackingConfig
from ..data.dataset import Split
from ..data.preprocessing import load_encoder
from ..data.spec import DataSpec
from ..lineage import current_lineage
from ..models.base import Model, build_model
from ..models.bundle import Bundle
from ..paths import BUNDLE, CHECKPOINTS, HISTORY_CSV, PROCESSED, require
from ..tracking.base import Tracker, create_tracker
from .callbacks import Checkpointing, EarlyStopping, History, ProgressBar, Tracking
from .checkpoint import BEST, Checkpoint, find_checkpoint, forget
from .distributed import from_main, process_group, rank, world_size
from .machine import choose_device, seed_everything, set_threads
from .trainer import Callback, Trainer

log = logging.getLogger(__name__)


def fit(config: Config) -> None:
    """Train, or go on with a run that was interrupted, and save the best epoch's bundle."""
    spec = DataSpec.load(require(PROCESSED, stage="preprocess"))
    train, validation = (
        Split.load(PROCESSED / f"{name}.safetensors") for name in ("train", "validation")
    )
    set_threads(config.launcher)
    device = choose_device(config.launcher.device)
    with process_group(device):
        if rank() > 0:
            logging.disable(logging.INFO)  # what rank 0 says is true of all
        model = _new_model(config, spec)
        lineage = current_lineage(config, run_id=None)
        # Another number of processes draws other random numbers: it is another run.
        fingerprint = f"{lineage.fingerprint} {world_size()}"
        checkpoint = from_main(lambda: _checkpoint(config, fingerprint))
        run_id = checkpoint.run_id if checkpoint else None
        # Only rank 0 is recorded.
        recorded = config.tracking if rank() == 0 else TrackingConfig()
        with create_tracker(recorded).start(run_id) as tracker:
            lineage = replace(lineage, run_id=tracker.run_id)
            tracker.log_config(config, tags=lineage.tags())
            callbacks = _callbacks(config, tracker, fingerprint)
            trainer = Trainer(
                model, config.training, seed=config.seed, device=device, callbacks=callbacks
            )
            if checkpoint:
                trainer.load_state_dict(checkpoint.trainer)
                log.info("going on after epoch %d", trainer.progress.epoch)
            progress = trainer.fit(train, validation)
            if rank() == 0:
                model.load_state_dict(Checkpoint.load(CHECKPOINTS / BEST).trainer["model"])
                Bundle(model.cpu(), load_encoder(PROCESSED), lineage).save(BUNDLE)
                tracker.log_folder(BUNDLE, "model")
        forget(CHECKPOINTS)
        monitor = config.training.monitor
        log.info("%s: epoch %d, %s %.4f", BUNDLE, progress.best_epoch, monitor, progress.best)


def _new_model(config: Config, spec: DataSpec) -> Model:
    """Return the model with the same weights on every rank, ready to draw another dropout."""
    seed_everything(config.seed, deterministic=config.training.deterministic)
    model = build_model(config.model, spec)
    if rank() > 0:
        torch.manual_seed(config.seed + rank())
    return model


def _checkpoint(config: Config, fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint to go on from; null where training starts anew.

    Then the last one is forgotten: a restart of this run must not find that of another.
    """
    checkpoint = find_checkpoint(config.resume, CHECKPOINTS, fingerprint=fingerprint)
    if checkpoint is None:
        forget(CHECKPOINTS)
    return checkpoint


def _callbacks(config: Config, tracker: Tracker, fingerprint: str) -> list[Callback]:
    on_every_rank: list[Callback] = [
        Checkpointing(CHECKPOINTS, fingerprint=fingerprint, run_id=tracker.run_id),
        EarlyStopping(config.training.patience),
    ]
    if rank() > 0:
        return on_every_rank
    return [ProgressBar(), History(HISTORY_CSV), Tracking(tracker), *on_every_rank]

"""Third stage: fit a model on the training split and write the best epoch's as models/bundle/."""

import logging
from dataclasses import replace

from .compose import stage
from .config import Config
from .paths import BUNDLE, CHECKPOINTS, HISTORY_CSV, PROCESSED, require

log = logging.getLogger(__name__)


@stage
def main(config: Config) -> None:
    """Train, or go on with a run that was interrupted, and save the bundle."""
    # Heavy libraries only now: a wrong setting has ended in its line already.
    from .data.dataset import Split
    from .data.preprocessing import load_encoder
    from .data.spec import DataSpec
    from .lineage import current_lineage
    from .models.base import build_model
    from .models.bundle import Bundle
    from .tracking.base import create_tracker
    from .training.callbacks import (
        Checkpointing,
        EarlyStopping,
        History,
        ProgressBar,
        Tracking,
    )
    from .training.checkpoint import BEST, Checkpoint, find_checkpoint, finish
    from .training.launcher import choose_device, seed_everything, set_threads
    from .training.trainer import Trainer

    spec = DataSpec.load(require(PROCESSED, stage="preprocess"))
    train, validation = (
        Split.load(PROCESSED / f"{name}.safetensors") for name in ("train", "validation")
    )
    set_threads(config.launcher)
    seed_everything(config.seed, deterministic=config.training.deterministic)
    model = build_model(config.model, spec)
    device = choose_device(config.launcher.device)
    lineage = current_lineage(config, run_id=None)
    fingerprint = lineage.fingerprint
    checkpoint = find_checkpoint(config.resume, CHECKPOINTS, fingerprint=fingerprint)

    run_id = checkpoint.run_id if checkpoint else None
    with create_tracker(config.tracking).start(run_id) as tracker:
        lineage = replace(lineage, run_id=tracker.run_id)
        tracker.log_config(config, tags=lineage.tags())
        trainer = Trainer(
            model,
            config.training,
            seed=config.seed,
            device=device,
            callbacks=[
                ProgressBar(),
                History(HISTORY_CSV),
                Tracking(tracker),
                Checkpointing(CHECKPOINTS, fingerprint=fingerprint, run_id=tracker.run_id),
                EarlyStopping(config.training.patience),
            ],
        )
        if checkpoint:
            trainer.load_state_dict(checkpoint.trainer)
            log.info("going on after epoch %d", trainer.progress.epoch)
        progress = trainer.fit(train, validation)
        model.load_state_dict(Checkpoint.load(CHECKPOINTS / BEST).trainer["model"])
        Bundle(model.cpu(), load_encoder(PROCESSED), lineage).save(BUNDLE)
        tracker.log_folder(BUNDLE, "model")
    finish(CHECKPOINTS)
    monitor = config.training.monitor
    log.info("%s: epoch %d, %s %.4f", BUNDLE, progress.best_epoch, monitor, progress.best)


if __name__ == "__main__":
    main()

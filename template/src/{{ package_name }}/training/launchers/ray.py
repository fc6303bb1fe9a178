"""Starts the workers with Ray Train, on a cluster or on this machine. Only this file knows Ray."""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...artifacts import CHECKPOINTS
from ...config import Config, Device, LauncherConfig
from ...errors import ProjectError
from . import Run, WorkerError

# Read when Ray is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics
os.environ.setdefault("RAY_COLOR_PREFIX", "1" if sys.stderr.isatty() else "0")
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # workers stay in the project's root
os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # handle a lost node as a lost worker

import ray
import ray.train.torch
from ray.exceptions import RayError

# Ray annotates it as two versions of Ray Train, of which only the newer one is used.
train: Any = ray.train


def launch(run: Run, config: Config) -> None:
    """Run `run(config)` in launcher.num_workers actors, each with a core, and a GPU for CUDA.

    All of them work in this folder: on a cluster every node has it at the same path.
    """
    folder = CHECKPOINTS.parent.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        _cluster(config.launcher),
        tempfile.TemporaryDirectory(prefix=".ray-", dir=folder) as storage,
    ):
        device = _device(config.launcher)
        config = replace(config, launcher=replace(config.launcher, device=device))
        num_workers, use_gpu = config.launcher.num_workers, device is Device.cuda
        trainer = train.torch.TorchTrainer(
            partial(_work, run, config, Path.cwd()),
            scaling_config=train.ScalingConfig(num_workers=num_workers, use_gpu=use_gpu),
            run_config=train.RunConfig(
                storage_path=storage,
                # `start` restarts workers, with `resume=auto` and not after a ProjectError.
                failure_config=train.FailureConfig(max_failures=0, max_preemption_failures=0),
                logging_config=train.LoggingConfig("CRITICAL"),
            ),
        )
        try:
            trainer.fit()
        except train.TrainingFailedError as error:
            raise _explain(error) from None


def _work(run: Run, config: Config, root: Path) -> None:
    os.chdir(root)
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    run(config)


@contextmanager
def _cluster(config: LauncherConfig) -> Generator[None]:
    """Connect to the cluster at launcher.address; without one, make one of this machine."""
    try:
        if config.address:
            _require_answer(config.address)
            ray.init(config.address, logging_level=logging.ERROR)
        else:
            # Ray Train asks the dashboard which actors live: without one it complains each second.
            settings: dict[str, Any] = {"include_dashboard": True, "logging_level": logging.ERROR}
            ray.init("local", num_cpus=max(config.num_workers, os.cpu_count() or 1), **settings)
    except (OSError, ValueError, RayError) as error:
        place, reason = config.address or "this machine", " ".join(str(error).split())[:300]
        raise ProjectError(f"no Ray cluster at {place}: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise an OSError if nothing listens at host:port; Ray would retry for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "://" not in address:
        socket.create_connection((host, int(port)), timeout=10).close()


def _device(config: LauncherConfig) -> Device:
    """Return where the workers train; `auto` is CUDA if the cluster has a GPU for each."""
    if config.device is not Device.auto:
        return config.device
    has_gpus = ray.cluster_resources().get("GPU", 0) >= config.num_workers
    return Device.cuda if has_gpus else Device.cpu


def _explain(error: Exception) -> ProjectError:
    """Return the ProjectError that a worker raised, else a WorkerError that names the worker."""
    if not isinstance(error, train.WorkerGroupError):
        return WorkerError(f"Ray Train: {' '.join(str(error).split())[:300]}")
    failures = error.worker_failures
    for failure in failures.values():
        if isinstance(failure, ProjectError):
            return failure
    for rank, failure in failures.items():
        if type(failure).__module__.startswith("ray."):  # Ray's error for a process that is gone
            return WorkerError(f"worker {rank} was lost")
    rank, failure = next(iter(failures.items()))
    return WorkerError(f"worker {rank} failed: {type(failure).__name__}: {failure}", str(error))

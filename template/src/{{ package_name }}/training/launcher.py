"""The machine a process trains on: its device, its threads, its random numbers."""

import os
import random

import numpy as np
import torch

from ..config import ConfigError, Device, LauncherConfig


def choose_device(device: Device) -> torch.device:
    """Return the device; `auto` is CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: The device is not on this machine.
    """
    present = {
        Device.cuda: torch.cuda.is_available(),
        Device.mps: torch.backends.mps.is_available(),
        Device.cpu: True,
    }
    if device is Device.auto:
        return torch.device(next(name for name in present if present[name]))
    if not present[device]:
        raise ConfigError(f"launcher.device must be on this machine, got {str(device)!r}")
    return torch.device(device)


def set_threads(config: LauncherConfig) -> None:
    """Give PyTorch the configured threads; 0 is one for each core this process may use."""
    torch.set_num_threads(config.num_threads or len(os.sched_getaffinity(0)))


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed every generator that training draws from; `deterministic` also fixes the algorithms."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)

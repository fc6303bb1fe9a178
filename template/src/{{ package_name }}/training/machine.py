"""The machine a process trains on: its device, its threads, its random numbers."""

import os
import random
from typing import Any

import numpy as np
import torch

from ..config import Device, LauncherConfig
from ..rules import ConfigError, require
from .distributed import local_rank, local_world_size


def choose_device(device: Device) -> torch.device:
    """Return the device; `auto` is CUDA, then MPS, then the CPU.

    Processes that share a machine take a GPU each. MPS is for one process.

    Raises:
        ConfigError: The device is not on this machine, or not as often as there are processes.
    """
    num_processes = local_world_size()
    present = {
        Device.cuda: torch.cuda.is_available(),
        Device.mps: torch.backends.mps.is_available() and num_processes == 1,
        Device.cpu: True,
    }
    chosen = next(name for name in present if present[name]) if device is Device.auto else device
    if not present[chosen]:
        raise ConfigError(f"launcher.device must be on this machine, got {str(device)!r}")
    if chosen is not Device.cuda or num_processes == 1:
        return torch.device(chosen)
    num_gpus = torch.cuda.device_count()
    expected = f"<= {num_gpus}, the GPUs of this machine"
    require(num_processes <= num_gpus, "launcher.num_workers", expected, num_processes)
    return torch.device(chosen, local_rank())


def set_threads(config: LauncherConfig) -> None:
    """Give PyTorch the configured threads; 0 shares the cores among the machine's processes."""
    # macOS does not say which cores a process may use.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(config.num_threads or max(1, (usable or 1) // local_world_size()))


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed every generator that training draws from; `deterministic` also fixes the algorithms."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def rng_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every generator that training may draw from."""
    name, keys, *rest = np.random.get_state()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "python": random.getstate(),
    }
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Set what `rng_state` returned."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)

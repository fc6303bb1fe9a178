"""The processes that train one model: their ranks, their devices and what they exchange.

A launcher sets RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE, as torchrun does. A process
without them trains alone, and exchanges return its own values.
"""

import os
import random
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..config import Device, LauncherConfig
from ..rules import ConfigError, require

T = TypeVar("T")


def rank() -> int:
    """Return this process's number; 0 writes files and tracks."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def local_world_size() -> int:
    """Return how many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def process_group(device: torch.device) -> Generator[None]:
    """Join the group that the environment describes, unless the launcher has joined one already."""
    if "WORLD_SIZE" not in os.environ or distributed.is_initialized():
        yield
        return
    if device.index is not None:  # else it is the only process here, and has the default GPU
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except Exception:
        # Gloo's threads would abort the exit; destroying an NCCL group would wait for other ranks.
        if device.type != "cuda":
            distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def choose_device(device: Device) -> torch.device:
    """Return the device; `auto` is CUDA, then MPS, then the CPU.

    Processes that share a machine take a GPU each. MPS supports only one process.

    Raises:
        ConfigError: This machine does not have the device, or has fewer than processes.
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
    return torch.device(chosen, int(os.environ["LOCAL_RANK"]))


def set_threads(config: LauncherConfig) -> None:
    """Set PyTorch's number of threads; 0 divides the cores among the machine's processes."""
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


def data_parallel(model: nn.Module) -> nn.Module:
    """Return the model, wrapped so that `backward` averages gradients over all ranks.

    DDP rebuilds its gradient buckets after the first step. With three or more ranks this changes
    the order of summation: a resumed run may differ from an uninterrupted one in the last digits.
    """
    return DistributedDataParallel(model) if world_size() > 1 else model


def accumulating(model: nn.Module, more_follows: bool) -> AbstractContextManager:
    """Return a context for `backward` that skips averaging if more parts of the step follow."""
    if more_follows and isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return nullcontext()


def shard(indices: Tensor, rank: int, world_size: int) -> tuple[Tensor, float]:
    """Return a rank's rows of a batch, and the weight of the mean loss over them.

    The mean over ranks of weight times mean loss is the mean loss of the whole batch, even if
    shards differ in size. If rows are fewer than ranks, the other ranks take one with weight 0.
    """
    if world_size == 1:
        return indices, 1.0
    rows = indices[rank::world_size]
    if len(rows) == 0:
        return indices[:1], 0.0
    return rows, len(rows) * world_size / len(indices)


def from_main(compute: Callable[[], T]) -> T:
    """Return, on every rank, what `compute` returns on rank 0, the only one that calls it."""
    if world_size() == 1:
        return compute()
    box: list[Any] = [compute() if rank() == 0 else None]
    distributed.broadcast_object_list(box)
    return box[0]


def from_all(value: T) -> list[T]:
    """Return, on every rank, the `value` of each."""
    if world_size() == 1:
        return [value]
    values: list[T] = [value] * world_size()
    distributed.all_gather_object(values, value)
    return values

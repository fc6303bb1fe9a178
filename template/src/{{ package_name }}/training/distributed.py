"""The processes that train one model together: which one this is, and what they tell each other.

Whoever starts them sets RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE, as torchrun does. A
process without these is alone, and then nothing here does anything.
"""

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def rank() -> int:
    """Return this process's number; 0 is the one that writes files and tracks."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def local_rank() -> int:
    """Return this process's number among those on this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_world_size() -> int:
    """Return how many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def process_group(device: torch.device) -> Generator[None]:
    """Join the group that the environment describes; leave it at the end.

    A group that the launcher has joined already stays.
    """
    if "WORLD_SIZE" not in os.environ or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except Exception:
        # Gloo's threads would abort the exit. NCCL's would wait for ranks that do not come.
        if device.type != "cuda":
            distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def data_parallel(model: nn.Module) -> nn.Module:
    """Return the model, in such a wrapping that `backward` averages gradients over all ranks.

    After its first step it packs gradients anew: three ranks and more then add them in another
    order, so that a run that was interrupted differs from a whole one in the last digits.
    """
    return DistributedDataParallel(model) if world_size() > 1 else model


def accumulating(model: nn.Module, more_follows: bool) -> AbstractContextManager:
    """Return the block for a `backward` that, where more follow in the step, averages nothing."""
    if more_follows and isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return nullcontext()


def shard(indices: Tensor, rank: int, world_size: int) -> tuple[Tensor, float]:
    """Return a rank's rows of a batch, and the weight of the mean loss over them.

    The mean over ranks of weight times mean loss is the mean loss of the whole batch, however
    uneven the shards. Where there are fewer rows than ranks, the rest take one with weight 0.
    """
    if world_size == 1:
        return indices, 1.0
    rows = indices[rank::world_size]
    if len(rows) == 0:
        return indices[:1], 0.0
    return rows, len(rows) * world_size / len(indices)


def mean_over_ranks(value: Tensor) -> Tensor:
    """Return the mean of every rank's `value`."""
    if world_size() == 1:
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total / world_size()


def max_over_ranks(value: int, device: torch.device) -> int:
    """Return the greatest of every rank's `value`."""
    greatest = torch.tensor(value, device=device)
    distributed.all_reduce(greatest, distributed.ReduceOp.MAX)
    return int(greatest)


def from_main(compute: Callable[[], T]) -> T:
    """Return, on every rank, what `compute` returns on rank 0, where alone it is called."""
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

"""Each rank's part of the work, without the processes: these the template tests where they run."""

import socket

import pytest
import torch
from toy_project.config import (
    Device,
    LauncherConfig,
    TrainingConfig,
)
from toy_project.models.base import build_model
from toy_project.training.distributed import (
    choose_device,
    from_all,
    from_main,
    process_group,
    rank,
    set_threads,
    shard,
    world_size,
)
from toy_project.training.trainer import Trainer

from ..conftest import SMALL, encoded, make_config

CPU = torch.device("cpu")


@pytest.mark.parametrize("num_rows", range(1, 12))
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_shards_make_up_the_batch(num_rows, ranks):
    batch = torch.arange(100, 100 + num_rows)
    shards = [shard(batch, r, ranks) for r in range(ranks)]
    rows = [row for part, weight in shards for row in part.tolist() if weight]
    assert sorted(rows) == batch.tolist()
    assert sum(weight for _, weight in shards) == pytest.approx(ranks)
    assert all(len(part) for part, _ in shards), "a rank without rows would keep the others waiting"


@pytest.mark.parametrize("num_rows", [8, 7, 1])
def test_the_mean_of_the_shards_gradients_is_that_of_the_batch(processed, num_rows):
    torch.manual_seed(0)
    settings = SMALL | {"word_dropout": 0, "dropout": 0}
    model, split = build_model(settings, processed.spec), encoded(processed, "train")

    def gradient(rows: torch.Tensor, weight: float = 1.0) -> torch.Tensor:
        model.zero_grad()
        inputs, targets = split.batch(rows)
        (weight * processed.spec.objective.loss(model(inputs), targets)).backward()
        grads = [parameter.grad for parameter in model.parameters()]
        return torch.cat([grad.flatten() for grad in grads if grad is not None])

    batch = torch.arange(num_rows)
    mean = sum(gradient(*shard(batch, r, 2)) for r in range(2)) / 2
    assert (gradient(batch) - mean).abs().max() < 1e-6


def test_one_process_in_a_group_trains_as_one_without(processed, monkeypatch):
    def weights() -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = build_model(SMALL, processed.spec)
        config = make_config(training=TrainingConfig(epochs=1))
        trainer = Trainer(model, processed.spec.objective, config, device=CPU)
        trainer.fit(encoded(processed, "train"), encoded(processed, "validation"))
        return list(model.parameters())

    alone = weights()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in group.items():
        monkeypatch.setenv(name, value)
    with process_group(CPU):
        assert torch.distributed.is_initialized()
        assert (rank(), world_size(), from_main(lambda: 3), from_all(4)) == (0, 1, 3, [4])
        assert all(a.equal(b) for a, b in zip(alone, weights(), strict=True))
    assert not torch.distributed.is_initialized()


def test_a_process_alone_on_its_machine_joins_a_group_with_the_default_gpu(monkeypatch):
    backends: list[str] = []
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setattr(torch.distributed, "init_process_group", backends.append)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with process_group(torch.device("cuda")):
        assert backends == ["nccl"]


def test_processes_share_the_cores_of_a_machine(monkeypatch):
    set_threads(LauncherConfig())
    cores = torch.get_num_threads()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(cores))
    set_threads(LauncherConfig())
    assert torch.get_num_threads() == 1
    set_threads(LauncherConfig(num_threads=2))
    assert torch.get_num_threads() == 2


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(Device.auto) == torch.device("cuda")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device(Device.auto) == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    message = "launcher.num_workers must be <= 2, the GPUs of this machine, got 3"
    with pytest.raises(Exception, match=message):
        choose_device(Device.cuda)
    assert choose_device(Device.cpu) == CPU

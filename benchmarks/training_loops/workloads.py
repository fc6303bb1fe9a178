"""What is trained, and the clock that times it."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WARM_UP = 20
"""Steps before the clock starts."""
RATE, WEIGHT_DECAY, MAX_NORM = 1e-3, 0.01, 1.0


@dataclass(frozen=True)
class Workload:
    """A model and its data."""

    name: str
    make: Callable[[], nn.Module]
    inputs: Tensor
    """[rows, ...]; padded with 0 to the longest."""
    labels: Tensor
    lengths: Tensor | None
    """Of each row before padding, where they differ."""
    batch_size: int
    num_steps: int


class Terminal(io.StringIO):
    """A stream that progress bars treat as a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


class Clock:
    """The time at which steps end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        """A step has ended."""
        self.ends.append(time.perf_counter())

    @property
    def step_us(self) -> float:
        """Microseconds a step, without the first."""
        return 1e6 * (self.ends[-1] - self.ends[WARM_UP - 1]) / (len(self.ends) - WARM_UP)


Loop = Callable[[Workload, Clock], None]


def mlp() -> nn.Module:
    """Two layers for 32 numbers."""
    return nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 8))


class Encoder(nn.Module):
    """A transformer encoder of token ids, where 0 is padding."""

    def __init__(self, width: int, num_layers: int, num_heads: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Embedding(4096, width)
        layer = nn.TransformerEncoderLayer(
            width, num_heads, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [batch, 8] of ids [batch, length]."""
        hidden = self.layers(self.tokens(inputs), src_key_padding_mask=inputs == 0)
        return self.head(hidden.mean(dim=1))


def workloads(scale: float) -> Iterator[Workload]:
    """What is trained; `scale` shortens it."""
    draw = torch.Generator().manual_seed(0)
    numbers = torch.randn(8192, 32, generator=draw)
    labels = torch.randint(8, (8192,), generator=draw)
    steps = max(WARM_UP + 5, round(2000 * scale))
    yield Workload("tiny MLP, batch 64", mlp, numbers, labels, None, 64, steps)
    ids = torch.randint(1, 4096, (2048, 32), generator=draw)
    steps = max(WARM_UP + 5, round(120 * scale))
    encoder = lambda: Encoder(64, 2)  # noqa: E731
    yield Workload("transformer", encoder, ids, labels[:2048], None, 26, steps)
    lengths = (torch.randn(2048, generator=draw) * 0.8 + 3).exp().long().clamp(4, 128)
    ids = torch.randint(1, 4096, (2048, 128), generator=draw)
    ids[torch.arange(128) >= lengths.unsqueeze(-1)] = 0
    # Steps take different times with batches of different lengths: a whole epoch is timed.
    steps = WARM_UP + max(5, round(128 * scale))
    yield Workload("text of mixed length", encoder, ids, labels[:2048], lengths, 16, steps)

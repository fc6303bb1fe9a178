"""Print samples/s and MFU of a transformer on a GPU: our trainer, a plain loop, Lightning.

Run it in a project that was set up, with its own Python, on a machine with a GPU:

    cd my-project && uv pip install "lightning>=2.6,<2.7"
    .venv/bin/python /path/to/benchmarks/gpu.py --rounds 5

Without a GPU it says so and exits 0. MFU is the share of the GPU's peak that the model's own
arithmetic takes: 6 operations a weight and token, and 12 * layers * width * length a token for
attention (Chowdhery et al. 2022, arXiv:2204.02311, appendix B). Embeddings do not count.
"""

import argparse
import contextlib
import gc
import io
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from training_loops.ours import Rows, as_model, whole_config
from training_loops.workloads import Encoder

PEAK_TFLOPS = {
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "H200": 989,
    "A100": 312,
    "L40": 181,
    "L4": 121,
    "4090": 165,
}
"""Dense bfloat16, by a part of the device's name, from the vendor's data sheets."""
HEAD_SIZE = 128
"""Width of an attention head; PyTorch has fast kernels for it, but none for 512."""
WARM_UP = 10


@dataclass(frozen=True)
class Size:
    """A model and a batch that fill the card."""

    width: int
    num_layers: int
    length: int
    batch_size: int
    num_steps: int
    compiles: bool

    def model(self, device: str = "cuda") -> Encoder:
        """Return the untrained model."""
        with torch.device(device):
            return Encoder(self.width, self.num_layers, max(1, self.width // HEAD_SIZE))

    def data(self) -> tuple[Tensor, Tensor]:
        """Token ids and labels of four batches, on the CPU."""
        rows = 4 * self.batch_size
        return torch.randint(1, 4096, (rows, self.length)), torch.randint(8, (rows,))

    def operations(self) -> float:
        """Of a step, forwards and backwards."""
        weights = sum(p.numel() for p in self.model("meta").layers.parameters())
        attention = 12 * self.num_layers * self.width * self.length
        return (6 * weights + attention) * self.batch_size * self.length


class Clock:
    """The time at which steps end on the GPU, synchronized only at the first and the last."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps, self.step, self.start, self.step_s = num_steps, 0, 0.0, 0.0

    def tick(self) -> None:
        """Count a step that was submitted to the GPU."""
        self.step += 1
        if self.step == WARM_UP:
            torch.cuda.synchronize()
            self.start = time.perf_counter()
        elif self.step == self.num_steps:
            torch.cuda.synchronize()
            self.step_s = (time.perf_counter() - self.start) / (self.num_steps - WARM_UP)


Loop = Callable[[Size, Clock], None]


def ours(package: str) -> Loop:
    """Return the project's trainer."""
    trainer = import_module(f"{package}.training.trainer")
    config = import_module(f"{package}.config")

    class Ticking(trainer.Callback):
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        def on_step_end(self, _: Any) -> None:
            self.clock.tick()

    def train(size: Size, clock: Clock) -> None:
        settings = replace(
            config.TrainingConfig(),
            epochs=1_000_000,
            max_steps=size.num_steps,
            batch_size=size.batch_size,
            compile=size.compiles,
            num_data_workers=2,
            evaluate_every_n_steps=1_000_000,
        )
        classification = import_module(f"{package}.objectives.classification").Classification
        one = trainer.Trainer(
            as_model(size.model()),
            classification(tuple("abcdefgh")),
            whole_config(package, training=settings),
            device=torch.device("cuda"),
            callbacks=[Ticking(clock)],
        )
        one.evaluate = lambda _: {}
        rows: Any = Rows(*size.data())
        one.fit(rows, rows)

    return train


def plain(size: Size, clock: Clock) -> None:
    """A loop by hand: bfloat16, fused AdamW, clipping, batches on the GPU from the start."""
    model = size.model()
    forward = torch.compile(model) if size.compiles else model
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    inputs, labels = (tensor.cuda() for tensor in size.data())
    for step in range(size.num_steps):
        rows = slice(step % 4 * size.batch_size, (step % 4 + 1) * size.batch_size)
        with torch.autocast("cuda", torch.bfloat16):
            loss = functional.cross_entropy(forward(inputs[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clock.tick()


def lightning(size: Size, clock: Clock) -> None:
    """Lightning with bf16-mixed, fused AdamW and clipping, and a DataLoader with workers."""
    import lightning
    from torch.utils.data import DataLoader, TensorDataset

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            model = size.model()
            self.model = torch.compile(model) if size.compiles else model

        def training_step(self, batch: Any, _: int) -> Tensor:
            return functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), 1e-3, fused=True)

        def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
            # The trainer's own clipping refuses a fused optimizer in mixed precision.
            torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)

        def on_train_batch_end(self, *_: Any) -> None:
            clock.tick()

    batches = DataLoader(
        TensorDataset(*size.data()),
        size.batch_size,
        shuffle=True,
        num_workers=2,
        pin_memory=True,
        persistent_workers=True,
    )
    one = lightning.Trainer(
        max_steps=size.num_steps,
        max_epochs=-1,
        precision="bf16-mixed",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    one.fit(Module(), batches)


def main() -> None:
    """Print the table, or that there is no GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no GPU here: nothing was measured.")
        return
    size = Size(
        options.width,
        options.layers,
        options.length,
        options.batch,
        max(options.steps, WARM_UP + 1),
        not options.no_compile,
    )
    [package] = [path.parent.name for path in Path("src").glob("*/train.py")]
    sys.path.insert(0, str(Path("src").resolve()))
    loops = {"this project": ours(package), "plain loop": plain, "Lightning": lightning}
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(options.rounds):
        for name, train in loops.items():
            clock, silent = Clock(size.num_steps), io.StringIO()
            with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
                train(size, clock)
            gc.collect()  # the weights of this loop must not fill the card of the next
            torch.cuda.empty_cache()
            times[name].append(clock.step_s)
            print(f"{name}: {clock.step_s:.4f} s a step", file=sys.stderr)
    print_table(size, times)


def print_table(size: Size, times: dict[str, list[float]]) -> None:
    """Medians over the rounds."""
    device = torch.cuda.get_device_name()
    peak = next((peak for part, peak in PEAK_TFLOPS.items() if part in device), None)
    print(f"{device}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}, {size}\n")
    print("| loop         | samples/s | MFU   | ratio to ours |")
    print("|--------------|-----------|-------|---------------|")
    for name, values in times.items():
        step_s = statistics.median(values)
        mfu = f"{size.operations() / step_s / peak / 1e12:.3f}" if peak else "?"
        pairs = zip(values, times["this project"], strict=True)
        ratio = statistics.median(other / mine for other, mine in pairs)
        print(f"| {name:12} | {size.batch_size / step_s:9.0f} | {mfu:5} | {ratio:13.2f} |")


if __name__ == "__main__":
    main()

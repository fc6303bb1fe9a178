"""Other trainers, each used as in its own documentation."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from .workloads import MAX_NORM, RATE, WEIGHT_DECAY, Clock, Loop, Terminal, Workload


def bare(work: Workload, clock: Clock) -> None:
    """The least that trains: slices, unfused AdamW; no clipping, schedule or progress."""
    model = work.make()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    for indices in endless(len(work.labels), work.batch_size, work.num_steps):
        loss = functional.cross_entropy(model(work.inputs[indices]), work.labels[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.tick()


def endless(num_rows: int, size: int, num_steps: int) -> Iterator[Tensor]:
    """Yield the rows of each batch, epoch after epoch."""
    per_epoch = math.ceil(num_rows / size)
    for step in range(num_steps):
        if step % per_epoch == 0:
            batches = torch.randperm(num_rows).split(size)
        yield batches[step % per_epoch]


def loader(work: Workload) -> DataLoader:
    """Return a plain `torch.utils.data.DataLoader`."""
    dataset = TensorDataset(work.inputs, work.labels)
    return DataLoader(dataset, work.batch_size, shuffle=True)


def cosine(optimizer: Any, work: Workload) -> Any:
    """Return the schedule of the rivals, step by step."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, work.num_steps)


def pattern(work: Workload, clock: Clock) -> None:
    """The loop of many tutorials: DataLoader, AdamW, clipping, tqdm, `loss.item()`."""
    from tqdm import tqdm

    model = work.make()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    scheduler = cosine(optimizer, work)
    total_loss, step = 0.0, 0
    while step < work.num_steps:
        model.train()
        for inputs, labels in tqdm(loader(work), desc="Training", file=Terminal()):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
            total_loss += loss.item()
            clock.tick()
            step += 1
            if step == work.num_steps:
                break
        scheduler.step()


def lightning(*, is_tuned: bool) -> Loop:
    """Lightning without checkpoints; tuned: `barebones`, fused AdamW, sliced batches."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self, work: Workload) -> None:
            super().__init__()
            self.model, self.work = work.make(), work

        def training_step(self, batch: Any, _: int) -> Tensor:
            loss = functional.cross_entropy(self.model(batch[0]), batch[1])
            if not is_tuned:
                self.log("train_loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), RATE, fused=is_tuned or None)
            schedule = {"scheduler": cosine(optimizer, self.work), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    class Ticking(lightning.Callback):
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        def on_train_batch_end(self, *_: Any) -> None:
            self.clock.tick()

    def train(work: Workload, clock: Clock) -> None:
        off = {"barebones": True} if is_tuned else {"logger": True, "enable_checkpointing": False}
        one = lightning.Trainer(
            accelerator="cpu",
            max_steps=work.num_steps,
            max_epochs=-1,
            gradient_clip_val=MAX_NORM,
            callbacks=[Ticking(clock)],
            **off,
        )
        one.fit(Module(work), Sliced(work) if is_tuned else loader(work))

    return train


class Sliced:
    """Batches sliced from tensors and cut to their longest row."""

    def __init__(self, work: Workload) -> None:
        self.work = work

    def __len__(self) -> int:
        return math.ceil(len(self.work.labels) / self.work.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in endless(len(self.work.labels), self.work.batch_size, len(self)):
            inputs, lengths = self.work.inputs[indices], self.work.lengths
            if lengths is not None:
                inputs = inputs[:, : int(lengths[indices].max())]
            yield inputs, self.work.labels[indices]


def hugging_face(work: Workload, clock: Clock) -> None:
    """The Trainer of transformers with its defaults, without a tracker."""
    import transformers

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = work.make()

        def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.model(inputs)
            return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    class Ticking(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    class Named(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(work.labels)

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            return {"inputs": work.inputs[index], "labels": work.labels[index]}

    arguments = transformers.TrainingArguments(
        output_dir="hugging_face",
        max_steps=work.num_steps,
        per_device_train_batch_size=work.batch_size,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    transformers.Trainer(Wrapped(), arguments, train_dataset=Named(), callbacks=[Ticking()]).train()


def accelerate(work: Workload, clock: Clock) -> None:
    """Accelerate's prepared model, optimizer, loader and schedule, with a bar."""
    from accelerate import Accelerator
    from tqdm import tqdm

    accelerator = Accelerator(cpu=True)
    model = work.make()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    model, optimizer, batches, scheduler = accelerator.prepare(
        model, optimizer, loader(work), cosine(optimizer, work)
    )
    bar, step = tqdm(total=work.num_steps, file=Terminal()), 0
    while step < work.num_steps:
        for inputs, labels in batches:
            loss = functional.cross_entropy(model(inputs), labels)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            bar.update()
            clock.tick()
            step += 1
            if step == work.num_steps:
                break

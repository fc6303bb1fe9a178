"""The MLP of a tabular project on its default data, and the trainers that users of tables pick."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from .workloads import MAX_NORM, RATE, WARM_UP, WEIGHT_DECAY, Clock, Loop, Workload

NUM_LAYERS, HIDDEN, DROPOUT = 2, 64, 0.3


def table(package: str, scale: float) -> list[Workload]:
    """Return the project's MLP on breast cancer, if the project is one of tables."""
    if find_spec(f"{package}.models.feature_mlp") is None:
        return []
    from sklearn.datasets import load_breast_cancer
    from sklearn.preprocessing import StandardScaler

    data: Any = load_breast_cancer()
    inputs = torch.from_numpy(StandardScaler().fit_transform(data.data)).float()
    spec = import_module(f"{package}.data.table").TableSpec(inputs.shape[1], ())
    models = import_module(f"{package}.models.feature_mlp")
    settings = models.FeatureMLPConfig("feature_mlp", HIDDEN, DROPOUT, NUM_LAYERS)
    make = lambda: models.FeatureMLP(settings, spec, 2)  # noqa: E731
    steps = max(WARM_UP + 5, round(2000 * scale))
    labels = torch.from_numpy(data.target).long()
    return [Workload("MLP on a table of 30 columns", make, inputs, labels, None, 32, steps)]


def skorch(work: Workload, clock: Clock) -> None:
    """Skorch's classifier with its defaults, without a validation split."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback, GradientNormClipping, LRScheduler, ProgressBar

    class Ticking(Callback):
        def on_batch_end(self, net: Any, **_: Any) -> None:
            if len(clock.ends) == work.num_steps:
                raise KeyboardInterrupt  # skorch takes it as the end of the training
            clock.tick()

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = work.make()

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.model(inputs)

    per_epoch = -(-len(work.labels) // work.batch_size)
    schedule = LRScheduler(
        torch.optim.lr_scheduler.CosineAnnealingLR, T_max=work.num_steps, step_every="batch"
    )
    NeuralNetClassifier(
        Wrapped,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=WEIGHT_DECAY,
        lr=RATE,
        batch_size=work.batch_size,
        max_epochs=work.num_steps // per_epoch + 1,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[GradientNormClipping(MAX_NORM), schedule, ProgressBar(), Ticking()],
    ).fit(work.inputs, work.labels)


def pytorch_tabular(work: Workload, clock: Clock) -> None:
    """PyTorch Tabular's MLP of the same layers, without checkpoints and early stopping."""
    import lightning.pytorch
    import pandas as pd
    from pytorch_tabular import TabularModel
    from pytorch_tabular.config import DataConfig, OptimizerConfig, TrainerConfig
    from pytorch_tabular.models import CategoryEmbeddingModelConfig

    class Ticking(lightning.pytorch.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            clock.tick()

    names = [f"column {number}" for number in range(work.inputs.shape[1])]
    rows = pd.DataFrame(work.inputs.numpy(), columns=names).assign(label=work.labels.numpy())
    trainer = TrainerConfig(
        batch_size=work.batch_size,
        max_epochs=-1,
        early_stopping=None,
        checkpoints=None,
        load_best=False,
        gradient_clip_val=MAX_NORM,
        accelerator="cpu",
        trainer_kwargs={"max_steps": work.num_steps},
    )
    layers = "-".join([str(HIDDEN)] * NUM_LAYERS)
    model = CategoryEmbeddingModelConfig(
        task="classification", layers=layers, activation="GELU", dropout=DROPOUT, learning_rate=RATE
    )
    schedule = {
        "lr_scheduler": "CosineAnnealingLR",
        "lr_scheduler_params": {"T_max": work.num_steps},
    }
    one = TabularModel(
        data_config=DataConfig(target=["label"], continuous_cols=names),
        model_config=model,
        optimizer_config=OptimizerConfig(optimizer="AdamW", **schedule),
        trainer_config=trainer,
        verbose=False,
    )
    one.fit(train=rows, validation=rows[:64], callbacks=[Ticking()])


RIVALS: dict[str, Loop] = {"skorch": skorch, "PyTorch Tabular": pytorch_tabular}

"""No setting is dead: another value changes what the stages leave or say, or is refused."""

import hashlib
import logging
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from miniature import CONFIGS
from toy_project import data, fetch, preprocess, train, training
from toy_project.config import OptimizerConfig
from toy_project.data.encoder import encoder_settings
from toy_project.lineage import made_by
from toy_project.models.base import model_settings
from toy_project.objectives.base import objective_settings
from toy_project.rules import flat
from toy_project.training.optimizers import check_optimizer

from . import commands
from .conftest import make_config

PIECES = Path(__file__).parent / "pieces"
TABLE = "text,label\n" + "".join(f"wörd n{i % 32},{'ab'[i % 2]}\n" for i in range(36))

BASE = (
    *("data.name=letters", "data.encoder.max_tokens=8", "data.encoder.min_count=1"),
    *("model=mlp", "model.hidden_size=8", "model.num_bigram_buckets=64"),
    *("training.batch_size=8", "training.epochs=1", "training.evaluate_every_n_steps=1"),
    *("training.monitor=loss", "training.callbacks=[watching]", "tracking=none"),
    *("training.export=none", "launcher.device=cpu", "launcher.num_threads=1"),
)
"""A training of three steps."""
OF_CHOICE = {
    "model=transformer": ("model.num_layers=1", "model.num_heads=2", "model.feedforward_size=8")
}


OF_DATA = ("data", "objective")
"""The sections that decide what is in data/."""


class Other(NamedTuple):
    """Another value of a setting."""

    value: str
    given: tuple[str, ...] = ()
    """Settings without which it would not matter."""


OTHERS = {
    "seed": Other("1"),
    "data.name": Other("nowhere"),
    "data.path": Other("table.csv"),
    "data.columns.group": Other("text"),
    "data.encoding": Other("cp1252", ("data.path=table.csv",)),
    "data.on_missing": Other("drop", ("data.path=gaps.csv",)),
    "data.on_duplicate": Other("keep", ("data.path=table.csv",)),
    "data.split": Other("given"),
    "data.validation_fraction": Other("0.3"),
    "data.test_fraction": Other("0.3"),
    "data.split_seed": Other("1"),
    "data.encoder.name": Other("nothing"),
    "data.encoder.unit": Other("character"),
    "data.encoder.max_tokens": Other("3"),
    "data.encoder.min_count": Other("3"),
    "model.name": Other("nothing"),
    "model.hidden_size": Other("4"),
    "model.num_bigram_buckets": Other("32"),
    "model.word_dropout": Other("0.1"),
    "model.dropout": Other("0.1"),
    "model.num_layers": Other("2"),
    "model.num_heads": Other("4"),
    "model.feedforward_size": Other("4"),
    "objective.name": Other("nothing"),
    "objective.labels": Other("[vowel,sign]"),
    "objective.loss": Other("focal"),
    "objective.gamma": Other("5", ("objective.loss=focal",)),
    "objective.label_smoothing": Other("0.1"),
    "objective.class_weights": Other("balanced"),
    "optimizer.name": Other("RMSprop", ("~optimizer.arguments",)),
    "optimizer.learning_rate": Other("0.02"),
    "optimizer.weight_decay": Other("0.5"),
    "optimizer.arguments.betas": Other("[0.5,0.9]"),
    "optimizer.arguments.eps": Other("0.1"),
    "optimizer.arguments.momentum": Other("0.5"),
    "optimizer.arguments.dampening": Other("0.5", ("optimizer.arguments.nesterov=false",)),
    "optimizer.arguments.nesterov": Other("false"),
    "optimizer.arguments.maximize": Other("true"),
    "optimizer.arguments.differentiable": Other("true"),
    "schedule.name": Other("wsd"),
    "schedule.warmup_fraction": Other("0.9"),
    "schedule.decay_fraction": Other("0.9", ("schedule.name=wsd",)),
    "training.epochs": Other("2"),
    "training.batch_size": Other("12"),
    "training.accumulation_steps": Other("2"),
    "training.learning_rate": Other("0.02"),
    "training.max_grad_norm": Other("0.01"),
    "training.ema_decay": Other("0.9"),
    "training.precision": Other("bfloat16"),
    "training.deterministic": Other("true"),
    "training.max_steps": Other("2"),
    "training.overfit_batches": Other("1"),
    "training.evaluate_every_n_steps": Other("2"),
    "training.monitor": Other("accuracy"),
    "training.min_delta": Other("0.9", ("training.epochs=2",)),
    "training.patience": Other("1", ("training.min_delta=1",)),
    "training.log_every_n_steps": Other("2", ("training.evaluate_every_n_steps=null",)),
    "training.checkpoint_every_n_steps": Other("1", ("training.evaluate_every_n_steps=null",)),
    "training.keep_checkpoints": Other("1"),
    "training.on_nonfinite": Other("skip", ("optimizer.learning_rate=1e9",)),
    "training.export": Other("onnx"),
    "training.callbacks": Other("[]"),
    "training.profile_steps": Other("1"),
}
UNSEEN = {
    "objective.calibrate": ("true", "a temperature changes neither labels nor weights"),
    "optimizer.arguments.foreach": ("false", "another way to the same weights"),
    "optimizer.arguments.fused": ("true", "another way to the same weights"),
    "training.num_data_workers": ("2", "threads prepare the same batches ahead"),
}
"""Another value of those that change nothing which is visible, and the reason."""
TESTED_BELOW = {"training.compile", "training.on_save_error"}


ALL_OF: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "data": lambda chosen: chosen | {"encoder": asdict(encoder_settings(chosen["encoder"]))},
    "model": lambda chosen: asdict(model_settings(chosen)),
    "objective": lambda chosen: asdict(objective_settings(chosen)),
    "optimizer": lambda chosen: chosen | {"arguments": check_optimizer(OptimizerConfig(**chosen))},
}
"""By group: every setting of a choice, where each choice brings settings of its own."""


def every_setting() -> Iterator[tuple[str, str]]:
    """Yield each setting that makes a model, and the choice of a group under which it exists."""
    for section, values in made_by(make_config()).items():
        if section not in ALL_OF:
            yield from (("", name) for name in flat({section: values}))
            continue
        for path in sorted((CONFIGS / section).glob("*.yaml")):
            values = ALL_OF[section](yaml.safe_load(path.read_text("utf-8")))
            yield from ((f"{section}={path.stem}", name) for name in flat({section: values}))


class Outcome(NamedTuple):
    """What a user sees of a run, but for what repeats its settings."""

    error: str | None
    messages: tuple[str, ...]
    files: dict[str, str]
    """SHA-256 of tensors and tables by path; empty for other files."""
    is_deterministic: bool


class Messages(logging.Handler):
    """Remembers what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Generator[Run]:
    """`run("training.epochs=2")`: what the stages leave in a new project, with these settings.

    It becomes the working directory, and finds what is in pieces/ as if it were its own. Outcomes
    are kept, since many settings are compared with the same one.
    """
    root, handler = logging.getLogger(), Messages()

    def enter_project() -> None:
        patch.chdir(tmp_path_factory.mktemp("project"))
        Path("configs").symlink_to(CONFIGS)
        Path("table.csv").write_text(TABLE, "utf-8")
        Path("gaps.csv").write_text(f"{TABLE}word,\n", "utf-8")

    @cache
    def prepared() -> Path:
        enter_project()
        assert commands.run(fetch, preprocess, settings=BASE) is None
        return Path("data").absolute()

    @cache
    def outcome(*settings: str) -> Outcome:
        is_of_data = any(setting.lstrip("+").startswith(OF_DATA) for setting in settings)
        folder = None if is_of_data else prepared()
        enter_project()
        if folder:
            shutil.copytree(folder, "data")
        handler.texts.clear()
        stages = (fetch, preprocess, train) if is_of_data else (train,)
        error = commands.run(*stages, settings=(*BASE, *settings))
        is_deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)
        return Outcome(error, tuple(handler.texts), dict(files()), is_deterministic)

    with pytest.MonkeyPatch.context() as patch:
        for package in (data, training):  # where the settings of BASE name a piece
            patch.setattr(package, "__path__", [*package.__path__, str(PIECES)])
        patch.setattr(root, "level", logging.INFO)
        root.addHandler(handler)
        yield outcome
        root.removeHandler(handler)


def files() -> Iterator[tuple[str, str]]:
    """Yield each file of the project and what it holds."""
    for path in sorted(Path().rglob("*")):
        is_compared = path.suffix in (".csv", ".parquet", ".safetensors")
        if path.is_file():
            yield str(path), hashlib.sha256(path.read_bytes()).hexdigest() if is_compared else ""


@pytest.mark.parametrize(("choice", "name"), list(every_setting()))
def test_another_value_is_seen(choice, name, run):
    if name in TESTED_BELOW:
        return
    is_unseen = name in UNSEEN
    assert is_unseen or name in OTHERS, f"{name} needs another value in OTHERS"
    value, given = (UNSEEN[name][0], ()) if is_unseen else OTHERS[name]
    before = tuple(filter(None, (choice, *OF_CHOICE.get(choice, ()), *given)))
    old, new = run(*before), run(*before, f"++{name}={value}")
    assert (new == old) is is_unseen
    if new.error and not old.error:
        assert name.split(".")[1] in new.error


def test_the_same_settings_leave_the_same(run):
    assert run("seed=0") == run() != run("seed=1")


def test_a_model_is_compiled(run):
    stance = "fail_on_recompile"  # the first compilation fails: a whole one takes a minute
    with torch.compiler.set_stance(stance), pytest.raises(RuntimeError, match=stance):
        run("training.compile=true")


def test_a_checkpoint_that_cannot_be_written_is_reported_or_ends_training(run, no_room):
    run()
    with no_room(12_000):
        continues = run("training.on_save_error=continue")
        stops = run("training.on_save_error=stop")
    message = "the checkpoint of step 1 cannot be written: [Errno 27] File too large"
    assert f"{message}; training continues" in continues.messages
    assert (continues.error, stops.error) == (None, f"error: {message}")


@pytest.mark.parametrize(
    ("setting", "was", "now"),
    [
        ("data.encoder.max_tokens", "8", "3"),
        ("data.split_seed", "0", "1"),
        ("objective.label_smoothing", "0.0", "0.1"),
    ],
)
def test_training_refuses_settings_that_its_data_was_not_made_with(run, setting, was, now):
    assert run(f"{setting}={was}").error is None
    assert commands.run(train, settings=(*BASE, f"{setting}={now}")) == (
        f"error: data/processed was made with {setting}={was} (now {now}); "
        "run `preprocess` with the same settings first, or `make repro` for all"
    )


@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_what_has_a_setting_of_its_own_is_no_argument_of_the_optimizer(run, name):
    message = f"error: optimizer.arguments must be among betas, eps, got '{name}'"
    assert run(f"++optimizer.arguments.{name}=0.5").error == message

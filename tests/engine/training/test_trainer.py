import csv
import json
import os
import signal
import sys
import threading
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_project.config import (
    OnNonFinite,
    OnSaveError,
    OptimizerConfig,
    Precision,
    TrainingConfig,
)
from toy_project.data.dataset import Split
from toy_project.models.base import evaluate
from toy_project.training.batches import prepared, to_parts
from toy_project.training.callbacks import (
    EarlyStopping,
    History,
    Interruption,
    Profiling,
)
from toy_project.training.checkpoint import (
    Checkpoint,
    CheckpointError,
)
from toy_project.training.distributed import seed_everything
from toy_project.training.trainer import (
    Callback,
    Trainer,
    TrainingError,
)

from ..conftest import encoded
from .trainers import (
    CPU,
    STEPS_PER_EPOCH,
    WITHOUT_DROPOUT,
    Poison,
    Recorder,
    average,
    fit,
    grads,
    keeping,
    make_trainer,
    weights,
)


def test_a_model_learns_the_miniature_dataset(processed):
    trainer = fit(make_trainer(processed, epochs=8), processed)
    figures = evaluate(trainer.model, trainer.objective, encoded(processed, "test"))
    assert figures["accuracy"] > 0.9


def test_the_same_seed_gives_the_same_bits(processed):
    first, second = (weights(fit(make_trainer(processed), processed)) for _ in range(2))
    assert first.equal(second)
    assert not first.equal(weights(fit(make_trainer(processed, seed=1), processed)))


# What a crash may meet: dropout is in the model; each has a state of its own, or threads.
EVERYTHING: dict[str, Any] = {
    "epochs": 2,
    "accumulation_steps": 2,
    "ema_decay": 0.9,
    "evaluate_every_n_steps": 5,
    "checkpoint_every_n_steps": 1,
    "keep_checkpoints": 100,
    "log_every_n_steps": 3,
}


@pytest.mark.parametrize("num_data_workers", [0, 2])
def test_going_on_after_any_step_gives_the_bits_of_a_run_that_nothing_disturbed(
    processed, tmp_path, num_data_workers
):
    settings = EVERYTHING | {"num_data_workers": num_data_workers}
    recorder, keep = Recorder(), keeping(tmp_path)
    history = History(tmp_path / "history.csv")
    whole = fit(make_trainer(processed, [recorder, history, keep], **settings), processed)
    curve = (tmp_path / "history.csv").read_bytes()
    assert [Checkpoint.load(path).step for path in keep.checkpoints.steps()] == [*range(1, 19)]
    for step, path in enumerate(keep.checkpoints.steps()[:-1], start=1):
        again = Recorder()
        resumed = make_trainer(processed, [again, history], seed=0, **settings)
        torch.randn(step)  # another process has drawn other numbers
        resumed.load_state_dict(Checkpoint.load(path).trainer)
        fit(resumed, processed)
        assert weights(resumed).equal(weights(whole)), step
        assert average(resumed).equal(average(whole))
        assert resumed.progress == whole.progress
        for now, then in ((again.logs, recorder.logs), (again.evaluations, recorder.evaluations)):
            assert now == {at: then[at] for at in then if at > step}
        assert (tmp_path / "history.csv").read_bytes() == curve


def test_a_signal_ends_training_after_its_step_and_the_rest_gives_the_same_bits(
    processed, tmp_path
):
    whole = fit(make_trainer(processed), processed)

    class Signal(Callback):
        def on_step_end(self, trainer) -> None:
            if trainer.progress.step == 5:
                os.kill(os.getpid(), number)

    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        keep = keeping(tmp_path / str(number))
        callbacks = [Signal(), keep, Interruption(keep)]
        with pytest.raises(SystemExit) as ended:
            fit(make_trainer(processed, callbacks), processed)
        assert ended.value.code == 128 + number
        assert signal.getsignal(number) == before
        newest = keep.checkpoints.newest()
        assert newest and newest[1].step == 5
        resumed = make_trainer(processed)
        resumed.load_state_dict(newest[1].trainer)
        assert weights(fit(resumed, processed)).equal(weights(whole))


def test_early_stopping_and_the_best_checkpoint(processed, tmp_path):
    keep = keeping(tmp_path)
    trainer = fit(make_trainer(processed, [EarlyStopping(2), keep], epochs=40), processed)
    progress = trainer.progress
    assert progress.step == progress.best_step + 2 * STEPS_PER_EPOCH
    best = keep.checkpoints.load(progress.best_step)
    assert best
    trainer.load_state_dict(best.trainer)
    figures = evaluate(trainer.model, trainer.objective, encoded(processed, "validation"))
    assert figures["accuracy"] == progress.best


def test_a_run_that_stopped_early_stays_stopped(processed, tmp_path):
    keep = keeping(tmp_path)
    trainer = fit(make_trainer(processed, [EarlyStopping(1), keep], epochs=40), processed)
    newest = keep.checkpoints.newest()
    assert newest
    resumed = make_trainer(processed, [EarlyStopping(1)], epochs=40)
    resumed.load_state_dict(newest[1].trainer)
    assert fit(resumed, processed).progress == trainer.progress


def test_a_smaller_gain_than_min_delta_is_none(processed):
    recorder = Recorder()
    progress = fit(make_trainer(processed, [recorder], min_delta=2.0), processed).progress
    accuracies = [row["validation_accuracy"] for row in recorder.evaluations.values()]
    assert progress.best == accuracies[0] < max(accuracies)
    assert progress.num_worse == len(accuracies) - 1


def test_max_steps_ends_the_run_with_an_evaluation(processed):
    recorder = Recorder()
    assert fit(make_trainer(processed, [recorder], max_steps=3), processed).progress.step == 3
    assert list(recorder.evaluations) == [3]


def test_evaluations_and_logs_come_every_so_many_steps_and_at_the_end(processed):
    recorder = Recorder()
    settings: dict[str, Any] = {"epochs": 1, "evaluate_every_n_steps": 4, "log_every_n_steps": 3}
    fit(make_trainer(processed, [recorder], **settings), processed)
    assert list(recorder.evaluations) == [4, 8, 9]
    assert list(recorder.logs) == [3, 4, 6, 8, 9]


def test_the_logged_losses_make_up_that_of_the_evaluation(processed):
    recorder = Recorder()
    fit(make_trainer(processed, [recorder], epochs=1, log_every_n_steps=1), processed)
    losses = [row["train_loss"] for row in recorder.logs.values()]
    [evaluation] = recorder.evaluations.values()
    assert evaluation["train_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    for row in recorder.logs.values():
        assert row["grad_norm"] > 0 and row["weight_norm"] > 0


def test_history_has_a_line_for_each_evaluation_of_this_run(processed, tmp_path):
    path = tmp_path / "history.csv"
    for epochs in (3, 2):
        fit(make_trainer(processed, [History(path)], epochs=epochs), processed)
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "9"), ("2", "18")]
    assert {"train_loss", "learning_rate", "validation_accuracy"} < set(rows[0])


def after_a_step(processed, **settings: Any) -> Trainer:
    """A trainer that has seen a batch of 7 rows, without dropout."""
    trainer = make_trainer(processed, model=WITHOUT_DROPOUT, max_grad_norm=1e9, **settings)
    trainer.num_steps = 1
    rows, num_parts = torch.arange(7), trainer.config.accumulation_steps
    trainer.train_step(to_parts(encoded(processed, "train"), rows, num_parts=num_parts, device=CPU))
    return trainer


@pytest.mark.parametrize("num_parts", [2, 3, 7, 20])
def test_the_parts_of_a_batch_add_up_to_its_gradient(processed, num_parts):
    whole = after_a_step(processed)
    summed = after_a_step(processed, accumulation_steps=num_parts)
    assert (grads(summed) - grads(whole)).abs().max() < 1e-6
    assert summed.log()["train_loss"] == pytest.approx(whole.log()["train_loss"], rel=1e-6)
    config, split = TrainingConfig(accumulation_steps=num_parts), encoded(processed, "train")
    [parts] = prepared(split, iter([torch.arange(7)]), config, CPU)
    assert len(parts) == len(torch.arange(7).chunk(num_parts)) > 1


def test_the_average_of_the_weights_is_what_is_evaluated(processed):
    trainer = fit(make_trainer(processed, ema_decay=0.99, epochs=1), processed)
    assert not average(trainer).equal(weights(trainer))
    validation = encoded(processed, "validation")
    figures = evaluate(trainer.evaluated_model, trainer.objective, validation)
    assert figures["accuracy"] == trainer.progress.best


def test_bfloat16_computes_in_bfloat16_and_keeps_the_weights(processed):
    seen = set()
    trainer = make_trainer(processed, precision=Precision.bfloat16, epochs=1)
    head = trainer.model.get_submodule("head")
    head.register_forward_hook(lambda _, __, output: seen.add(output.dtype))
    fit(trainer, processed)
    assert torch.bfloat16 in seen
    assert weights(trainer).dtype == torch.float32
    coarse = grads(after_a_step(processed, precision=Precision.bfloat16))
    exact = grads(after_a_step(processed))
    assert 0 < (coarse - exact).norm() < 0.05 * exact.norm()


def test_deterministic_mode_is_pytorchs():
    seed_everything(0, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


def test_overfitting_a_batch_takes_its_loss_to_zero(processed):
    recorder = Recorder()
    model = WITHOUT_DROPOUT
    settings: dict[str, Any] = {"overfit_batches": 1, "epochs": 80, "log_every_n_steps": 80}
    trainer = fit(make_trainer(processed, [recorder], model=model, **settings), processed)
    assert trainer.progress.step == 80
    assert recorder.evaluations[80]["train_loss"] < 0.05 < recorder.evaluations[1]["train_loss"]


def test_the_trainer_clips_and_decays_as_configured(processed):
    optimizer = OptimizerConfig(weight_decay=0.5)
    trainer = make_trainer(processed, optimizer=optimizer, max_grad_norm=0.01)
    trainer.num_steps = 1
    split = encoded(processed, "train")
    trainer.train_step(to_parts(split, torch.arange(8), num_parts=1, device=CPU))
    assert grads(trainer).norm() == pytest.approx(0.01, rel=1e-3)
    assert trainer.optimizer.defaults["weight_decay"] == 0.5


@pytest.mark.parametrize(("monitor", "best"), [("macro_f1", max), ("loss", min)])
def test_the_monitored_metric_picks_the_best(processed, monitor, best):
    recorder = Recorder()
    trainer = fit(make_trainer(processed, [recorder], monitor=monitor), processed)
    figures = {step: row[f"validation_{monitor}"] for step, row in recorder.evaluations.items()}
    assert trainer.progress.best == best(figures.values()) == figures[trainer.progress.best_step]


def test_threads_prepare_the_batches_that_the_loop_would(processed):
    alone, helped = (
        weights(fit(make_trainer(processed, epochs=1, num_data_workers=n), processed))
        for n in (0, 3)
    )
    assert alone.equal(helped)


def test_data_workers_are_threads_of_their_own(processed):
    names = set()

    class Watched:
        def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
            names.add(threading.current_thread().name.rpartition("_")[0])
            return rows, rows

    watched: Any = Watched()
    for num_workers in (0, 2):
        names.clear()
        config = TrainingConfig(num_data_workers=num_workers)
        list(prepared(watched, iter(torch.arange(8).split(2)), config, CPU))
        assert names == ({"batches"} if num_workers else {""})


def test_a_profile_is_a_trace_of_so_many_steps(processed, tmp_path):
    path = tmp_path / "trace.json"
    fit(make_trainer(processed, [Profiling(path, 2)], epochs=1), processed)
    events = json.loads(path.read_text("utf-8"))["traceEvents"]
    steps = {event["name"] for event in events if event["name"].startswith("ProfilerStep#")}
    assert len(steps) == 2


def test_gradients_that_are_not_finite_stop_the_run_and_leave_the_last_good_state(
    processed, tmp_path
):
    keep = keeping(tmp_path)
    settings: dict[str, Any] = {"epochs": 1, "checkpoint_every_n_steps": 1, "log_every_n_steps": 4}
    trainer = make_trainer(processed, [Poison(7), keep], **settings)
    with pytest.raises(TrainingError) as caught:
        fit(trainer, processed)
    assert str(caught.value) == (
        "1 of steps 5 to 7 had gradients that are not finite; a lower optimizer.learning_rate may "
        "help, or training.on_nonfinite=skip or lower, with resume_changed=true to continue"
    )
    assert weights(trainer).isfinite().all()
    newest = keep.checkpoints.newest()
    assert newest
    assert newest[1].step == 6
    assert all(value.isfinite().all() for value in newest[1].trainer["model"].values())


@pytest.mark.parametrize(
    ("policy", "message", "scale"),
    [
        (OnNonFinite.skip, "left out", 1.0),
        (OnNonFinite.lower, "left out, the learning rate is halved", 0.5),
    ],
)
def test_gradients_that_are_not_finite_are_left_out(processed, caplog, policy, message, scale):
    recorder = Recorder()
    settings: dict[str, Any] = {"epochs": 1, "log_every_n_steps": 5, "on_nonfinite": policy}
    trainer = fit(make_trainer(processed, [Poison(7, 8), recorder], **settings), processed)
    assert caplog.messages == [f"2 of steps 6 to 9 had gradients that are not finite: {message}"]
    assert trainer.progress.step == STEPS_PER_EPOCH
    assert trainer.progress.learning_rate_scale == scale
    assert weights(trainer).isfinite().all()
    assert all(row["train_loss"] < 3 for row in recorder.logs.values())


def test_a_history_without_room_is_said_and_whole_later(processed, tmp_path, caplog, no_room):
    path = tmp_path / "history.csv"
    history = History(path)
    trainer = make_trainer(processed, [history], epochs=2)
    trainer.fit(encoded(processed, "train"), encoded(processed, "validation"))
    whole = path.read_text("utf-8")
    path.unlink()
    again = make_trainer(processed, [History(path)], epochs=2)
    with no_room(10), pytest.raises(OSError, match="File too large"):
        fit(again, processed)
    assert [message.endswith("; training continues") for message in caplog.messages] == [True, True]
    assert not path.exists()
    with no_room(10), pytest.raises(SystemExit):
        try:
            sys.exit(143)
        finally:
            again.callbacks[0].on_fit_end(again)  # which hides no signal
    again.callbacks[0].on_fit_end(again)
    assert path.read_text("utf-8") == whole


def test_a_checkpoint_without_room_is_said_and_training_goes_on_or_stops(
    processed, tmp_path, caplog, no_room
):
    for policy in OnSaveError:
        keep = keeping(tmp_path)
        settings: dict[str, Any] = {"epochs": 1, "on_save_error": policy}
        trainer = make_trainer(processed, [keep], **settings)
        with no_room(1000):
            if policy is OnSaveError.stop:
                with pytest.raises(CheckpointError, match=r"step 9 cannot be written: .*too large"):
                    fit(trainer, processed)
            else:
                fit(trainer, processed)
                [message] = caplog.messages
                assert message.startswith("the checkpoint of step 9 cannot be written: ")
                assert message.endswith("; training continues")
        assert not list(tmp_path.iterdir())


def test_a_split_gives_rows_padded_to_the_longest():
    split = Split.from_rows([[1, 2, 3], [4], [5, 6]], torch.tensor([0, 1, 0]))
    inputs, labels = split.batch(torch.tensor([1, 2]))
    assert (inputs.tolist(), labels.tolist()) == ([[4, 0], [5, 6]], [1, 0])

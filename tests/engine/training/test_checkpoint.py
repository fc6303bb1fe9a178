import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_project.config import Config, OptimizerConfig
from toy_project.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    Checkpoints,
    find_checkpoint,
    settings_of,
)

from ..conftest import make_config

CONFIG = make_config()
WEIGHTS = {"layer.weight": torch.arange(3)}


def checkpoint(step: int = 1, config: Config = CONFIG, best_step: int = 0) -> Checkpoint:
    progress = {"step": step, "best_step": best_step}
    trainer = {"model": WEIGHTS, "progress": progress}
    return Checkpoint(trainer, settings(config), run_id="r")


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(checkpoint(step), keep=10)
    return checkpoints


def find(folder: Path, config: Config = CONFIG) -> Checkpoint | None:
    found = find_checkpoint(config, Checkpoints(folder), settings(config), WEIGHTS)
    return found[1] if found else None


def settings(config: Config = CONFIG, data: str = "d") -> dict[str, str]:
    return settings_of(config, data_hash=data)


def test_a_checkpoint_comes_back(tmp_path):
    checkpoint(7).save(tmp_path / "a.pt")
    found = Checkpoint.load(tmp_path / "a.pt")
    assert (found.step, found.run_id, found.settings) == (7, "r", checkpoint().settings)
    assert found.trainer["model"]["layer.weight"].tolist() == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_every_damage_is_found(tmp_path):
    path = tmp_path / "a.pt"
    checkpoint().save(path)
    whole, draw = path.read_bytes(), random.Random(0)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"a\.pt is damaged: its SHA-256 is another"):
            Checkpoint.load(path)
    for length in (0, 1, 31, 32, 33, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"a\.pt is damaged"):
            Checkpoint.load(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"checkpoint .*a\.pt cannot be read: .*No such file"):
        find(tmp_path, replace(CONFIG, resume=str(tmp_path / "a.pt")))


def test_the_last_few_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 6):
        checkpoints.save(checkpoint(step, best_step=2), keep=2)
    assert [Checkpoint.load(path).step for path in checkpoints.steps()] == [2, 4, 5]
    checkpoints.complete(2)
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]
    assert Checkpoint.load(tmp_path / "best.pt").step == 2


def test_auto_goes_on_from_the_newest(tmp_path):
    assert find(tmp_path) is None
    saved(tmp_path, 9, 10, 11)
    found = find(tmp_path)
    assert found is not None and found.step == 11
    assert find(tmp_path, replace(CONFIG, resume="never")) is None


def test_a_damaged_newest_is_named_and_the_one_before_taken(tmp_path, caplog):
    checkpoints = saved(tmp_path, 9, 10, 11)
    checkpoints.steps()[-1].write_bytes(b"")
    os.truncate(checkpoints.steps()[-2], 100)
    found = find(tmp_path)
    assert found is not None and found.step == 9
    named = ["step-0000000011.pt is damaged", "step-0000000010.pt is damaged"]
    assert all(name in message for name, message in zip(named, caplog.messages, strict=True))


def test_changed_settings_are_named_and_refused_unless_asked_for(tmp_path):
    checkpoints = saved(tmp_path, 3)
    changed = replace(CONFIG, seed=1, optimizer=OptimizerConfig(learning_rate=0.1))
    with pytest.raises(CheckpointError) as caught:
        find(tmp_path, changed)
    assert str(caught.value) == (
        f"{tmp_path}/step-0000000003.pt was trained with optimizer.learning_rate=0.003 (now 0.1), "
        'seed=0 (now 1); start again with `make train ARGS="resume=never"`; '
        'continue with `make train ARGS="resume_changed=true"`'
    )
    with pytest.raises(CheckpointError, match=r"with data=d \(now other\);"):
        find_checkpoint(CONFIG, checkpoints, settings(data="other"), WEIGHTS)
    found = find(tmp_path, replace(changed, resume_changed=True))
    assert found is not None and found.step == 3


def test_a_checkpoint_of_another_model_is_refused_whatever_was_asked_for(tmp_path):
    checkpoints = saved(tmp_path, 3)
    wider = {"layer.weight": torch.arange(4), "layer.bias": torch.zeros(1)}
    for config in (CONFIG, replace(CONFIG, resume_changed=True)):
        with pytest.raises(CheckpointError) as caught:
            find_checkpoint(config, checkpoints, settings(config), wider)
        assert str(caught.value) == (
            f"{tmp_path}/step-0000000003.pt was trained with layer.bias=nothing (now [1]), "
            'layer.weight=[3] (now [4]); start again with `make train ARGS="resume=never"`'
        )


def test_the_pipeline_starts_again_where_anything_has_changed(tmp_path, caplog):
    checkpoints = saved(tmp_path, 3)
    for config, weights in ((replace(CONFIG, seed=1), WEIGHTS), (CONFIG, {})):
        found = find_checkpoint(config, checkpoints, settings(config), weights, starts_over=True)
        assert found is None
        assert caplog.messages.pop().endswith("; training starts again")
    named = replace(CONFIG, seed=1, resume=str(checkpoints.steps()[0]))
    with pytest.raises(CheckpointError):
        find_checkpoint(named, checkpoints, settings(named), WEIGHTS, starts_over=True)
    assert find_checkpoint(CONFIG, checkpoints, settings(), WEIGHTS, starts_over=True)


def test_damaged_checkpoints_of_later_steps_do_not_cost_good_ones(tmp_path):
    checkpoints = saved(tmp_path, 20, 30)
    checkpoints.steps()[-1].write_bytes(b"")
    checkpoints.save(checkpoint(21), keep=2)
    assert [Checkpoint.load(path).step for path in checkpoints.steps()] == [20, 21]
    checkpoints.save(checkpoint(22), keep=1)
    assert [Checkpoint.load(path).step for path in checkpoints.steps()] == [22]


def test_the_best_stands_in_where_the_others_are_damaged(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(checkpoint(5, best_step=5), keep=1)
    checkpoints.save(checkpoint(6, best_step=5), keep=1)
    checkpoints.steps()[-1].write_bytes(b"")
    found = find(tmp_path)
    assert found is not None and found.step == 5
    checkpoints.complete(5)
    assert find(tmp_path) is None, "a run that is complete"


def test_a_named_checkpoint_becomes_the_only_one(tmp_path):
    checkpoints = saved(tmp_path, 3, 4, 5)
    first = checkpoints.steps()[0]
    assert checkpoints.restart_from(first, Checkpoint.load(first)) == first
    assert checkpoints.steps() == [first]


def test_a_checkpoint_from_elsewhere_brings_its_own_best(tmp_path):
    ours, theirs = Checkpoints(tmp_path / "ours"), Checkpoints(tmp_path / "theirs")
    for checkpoints, config in ((ours, replace(CONFIG, seed=1)), (theirs, CONFIG)):
        checkpoints.save(checkpoint(2, config, best_step=2), keep=2)
        checkpoints.save(checkpoint(3, config, best_step=2), keep=2)
    named = theirs.steps()[-1]
    ours.restart_from(named, Checkpoint.load(named))
    best = ours.load(2)
    assert best and best.settings == checkpoint().settings
    theirs.steps()[0].unlink()
    ours.restart_from(named, Checkpoint.load(named))
    assert [path.name for path in ours.steps()] == ["step-0000000003.pt"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(tmp_path, no_room):
    checkpoints = saved(tmp_path, 3)
    with no_room(1000), pytest.raises(OSError, match="File too large"):
        checkpoints.save(checkpoint(4, best_step=4), keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000003.pt"]
    assert checkpoints.newest() is not None

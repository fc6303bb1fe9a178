import logging
from dataclasses import replace
from typing import Any

import pytest
from toy_project.config import Config, LauncherConfig
from toy_project.errors import ProjectError
from toy_project.rules import ConfigError
from toy_project.training.launchers import (
    WorkerError,
    local,
    start,
)

from ..conftest import make_config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_workers": 2}, "launcher.num_workers must be 1 if local, got 2"),
        ({"num_workers": 0}, "launcher.num_workers must be in [1, 4096], got 0"),
        ({"max_restarts": -1}, "launcher.max_restarts must be >= 0, got -1"),
        ({"address": "a:1"}, "launcher.address must be null if local, got 'a:1'"),
        (
            {"name": "torchrun", "address": "a:1"},
            "launcher.address must be null if torchrun, got 'a:1'",
        ),
    ],
)
def test_a_launcher_is_checked_when_it_is_configured(values, message):
    with pytest.raises(ConfigError) as caught:
        LauncherConfig(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["nope", "base", "__init__", "../local", "os.path"])
def test_only_a_file_that_launches_is_a_launcher(name):
    with pytest.raises(ConfigError) as caught:
        start(print, make_config(launcher=LauncherConfig(name)))
    expected = "a file in training/launchers/ with a function launch()"
    assert str(caught.value).startswith(f"launcher.name must be {expected}, got {name!r}")


def test_local_runs_in_this_process():
    seen: list[Config] = []
    config = make_config(resume="never")
    start(seen.append, config)
    assert seen == [config]


def test_processes_that_torchrun_restarted_continue(monkeypatch):
    seen: list[Config] = []
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    start(seen.append, make_config(resume="never"))
    assert seen == [make_config(resume="auto")]


class Losing:
    """A launcher that loses a worker a few times."""

    def __init__(self, times: int, monkeypatch: Any) -> None:
        self.times = times
        self.seen: list[str] = []
        monkeypatch.setattr(local, "launch", self)

    def __call__(self, run: Any, config: Config) -> None:
        self.seen.append(config.resume)
        if len(self.seen) <= self.times:
            raise WorkerError("worker 1 was lost")


CONFIG = replace(make_config(), resume="never", launcher=LauncherConfig(max_restarts=2))


def test_lost_workers_start_again_from_the_last_checkpoint(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    launcher = Losing(2, monkeypatch)
    start(print, CONFIG)
    assert launcher.seen == ["never", "auto", "auto"]
    assert caplog.messages == [f"worker 1 was lost: restart {n} of 2" for n in (1, 2)]


def test_a_worker_lost_too_often_is_an_error(monkeypatch):
    launcher = Losing(3, monkeypatch)
    with pytest.raises(WorkerError, match="worker 1 was lost"):
        start(print, CONFIG)
    assert len(launcher.seen) == 3


def test_what_the_user_has_to_mend_is_not_tried_again():
    seen: list[Config] = []

    def run(config: Config) -> None:
        seen.append(config)
        raise ProjectError("the data is missing")

    with pytest.raises(ProjectError, match="the data is missing"):
        start(run, CONFIG)
    assert len(seen) == 1

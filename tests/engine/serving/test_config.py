from importlib.util import find_spec

import pytest
from miniature import CONFIGS
from toy_project.rules import ConfigError
from toy_project.serving.config import ServingConfig

from ..conftest import has
from .conftest import compose


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("serving/*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_server_is_valid(path):
    name = compose(f"serving={path.stem}").serving.name
    assert find_spec(f"toy_project.serving.{name}")


def test_a_server_takes_the_settings_of_every_stage_too():
    config = compose("experiment=fast_mlp", "serving.port=1")
    assert (config.model["name"], config.serving.port) == ("mlp", 1)


@pytest.mark.parametrize("choice", ["monitoring", "deployment"])
def test_settings_that_nothing_reads_are_refused(choice):
    line = f"^{choice} must be empty in a project that was made without it, got {{'a': 1}}$"
    if has(choice):
        assert getattr(compose(f"++{choice}.a=1"), choice)["a"] == 1
        return
    with pytest.raises(ConfigError, match=line):
        compose(f"++{choice}.a=1")


def test_a_queue_must_hold_a_batch():
    with pytest.raises(ConfigError, match=r"max_queue_size must be >= serving.max_batch_size=8,"):
        ServingConfig(max_batch_size=8, max_queue_size=7)

"""Ray's configuration. That it trains, and continues after a lost worker, the template tests."""

import sys

import hydra
from miniature import CONFIGS
from toy_project.compose import to_config
from toy_project.config import Config
from toy_project.training.fit import fit
from toy_project.training.launchers import torchrun


def test_the_launcher_is_configured():
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        overrides = ["launcher=ray", "launcher.address=head:6379"]
        launcher = to_config(hydra.compose("config", overrides=overrides), Config).launcher
    assert (launcher.name, launcher.num_workers, launcher.address) == ("ray", 2, "head:6379")


def test_only_its_own_launcher_imports_ray():
    assert {fit.__module__, torchrun.__name__} <= set(sys.modules)
    assert "ray" not in sys.modules
    importing = [p for p in CONFIGS.parent.glob("src/**/*.py") if "import ray" in p.read_text()]
    assert [path.name for path in importing] == ["ray.py"]

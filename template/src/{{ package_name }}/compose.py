"""The command line of every stage: Hydra composes, config.py checks, an error ends in one line.

`python -m <package>.compose` writes the composed configuration to params.yaml, which DVC reads;
settings such as `training.epochs=1` may follow. With `--check` it says whether the file is current.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from .artifacts import new_file
from .config import Config
from .errors import ProjectError, file_errors
from .paths import CONFIGS, PARAMS
from .rules import ConfigError, require, typed

C = TypeVar("C", bound=Config)

log = logging.getLogger(__name__)

# Hydra's own folder and log file per run: DVC and the tracker already keep what they would hold.
_QUIET = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)

_UNREADABLE = (TypeError, ValueError, YAMLError)
"""What Hydra raises, beside its own errors, where it cannot read a file or an argument."""


def stage(
    schema: type[C], config_name: str = "config"
) -> Callable[[Callable[[C], None]], Callable[[], None]]:
    """Make a function the command that calls it with the configuration its arguments describe.

    That configuration is configs/<config_name>.yaml, and its type `schema`.
    """

    def command_of(run: Callable[[C], None]) -> Callable[[], None]:
        return partial(_command, run, schema, config_name)

    return command_of


def _command(run: Callable[[C], None], schema: type[C], config_name: str) -> None:
    def job(composed: DictConfig) -> None:
        nonlocal is_composed
        is_composed = True
        # Here as well as around Hydra, which would print a line of its own before passing it on.
        with one_line_errors():
            run(to_config(composed, schema))

    is_composed = False

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us whole, not printed and lost
    # Threads that wait must not spin: on a busy machine they would starve those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with one_line_errors():
        _require_root()
        sys.argv[1:] = [*_QUIET, *map(_checked, sys.argv[1:])]
        configs = str(CONFIGS.resolve())
        try:
            hydra.main(version_base="1.3", config_path=configs, config_name=config_name)(job)()
        except _UNREADABLE as error:
            if is_composed:
                raise
            raise ConfigError(str(error)) from error


@contextmanager
def one_line_errors() -> Generator[None]:
    """End the process with one line and exit code 1 on an error that the user can fix."""
    try:
        with file_errors():
            yield
    except (ProjectError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {explain(error)}")


def explain(error: Exception) -> str:
    """Return one line that says what was wrong."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        choices = ", ".join(error.options)
        return f"there is no configs/{error.missing_cfg_file}.yaml; choose one of: {choices}"
    return " ".join(str(error).split())


def to_config(composed: DictConfig, schema: type[C]) -> C:
    """Return the checked configuration that `composed` describes.

    Raises:
        ConfigError: A setting is unknown or without a value, or its value cannot be used.
    """
    if missing := OmegaConf.missing_keys(composed):
        raise ConfigError(f"{min(missing)} has no value, only ???")
    return _renamed(typed("", schema, OmegaConf.to_container(composed, resolve=True)))


def _renamed(config: C) -> C:
    """Return the configuration with what was given under a former name under its present one."""
    rate = config.training.learning_rate
    if rate is None:
        return config
    log.warning("training.learning_rate is now optimizer.learning_rate")
    training = replace(config.training, learning_rate=None)
    optimizer = replace(config.optimizer, learning_rate=rate)
    return replace(config, training=training, optimizer=optimizer)


def _require_root() -> None:
    if not CONFIGS.is_dir():
        raise ConfigError(f"there is no {CONFIGS}/ here; run this in the project's root")


def _checked(argument: str) -> str:
    """Return an argument as Hydra takes it.

    Raises:
        ConfigError: A folder of configs/ does not have the file that was chosen.
    """
    name, equals, value = argument.lstrip("+").partition("=")
    if not name or not equals or argument.startswith(("-", "~", "hydra")):
        return argument
    folder = CONFIGS / name.partition("@")[0]
    if not folder.is_dir():
        return f"++{name}={value}"  # whether there is such a setting is for `typed` to say
    files = folder.rglob("*.yaml")
    choices = sorted(file.relative_to(folder).with_suffix("").as_posix() for file in files)
    is_choice = set(value.strip("[]").split(",")) <= set(choices)
    require(is_choice, name, f"one of {', '.join(choices)}", value)
    return argument


def _params(overrides: list[str]) -> str:
    with hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base="1.3"):
        try:
            composed = hydra.compose("config", [*map(_checked, overrides)])
        except _UNREADABLE as error:
            raise ConfigError(str(error)) from error
    to_config(composed, Config)
    return OmegaConf.to_yaml(composed, resolve=True)


def main() -> None:
    """Write params.yaml, or check that it is current."""
    parser = argparse.ArgumentParser(description="Write the composed configuration to params.yaml.")
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    parser.add_argument("overrides", nargs="*", metavar="setting=value", help="set this instead")
    arguments = parser.parse_args()
    with one_line_errors():
        _require_root()
        params = _params(arguments.overrides)
        if not arguments.check:
            with new_file(PARAMS) as new:
                new.write_text(params, encoding="utf-8")
        elif not PARAMS.exists() or PARAMS.read_text(encoding="utf-8") != params:
            raise ProjectError("params.yaml is not what configs/ composes; run `make params`")


if __name__ == "__main__":
    main()

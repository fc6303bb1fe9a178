"""The command line of every stage: Hydra composes the settings, config.py checks them.

`python -m <package>.compose` writes the composed configuration to params.yaml, which DVC reads;
overrides such as `training.epochs=1` may follow.
"""

import argparse
import hashlib
import logging
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from .artifacts import CONFIGS, PARAMS, new_file
from .config import Config
from .errors import ProjectError, file_errors
from .rules import ConfigError, differences, flat, require, typed

C = TypeVar("C", bound=Config)

log = logging.getLogger(__name__)

_UNREADABLE = (TypeError, ValueError, YAMLError)
"""Errors, besides its own, that Hydra raises for a file or argument that it cannot read."""


def stage(
    schema: type[C], config_name: str = "config"
) -> Callable[[Callable[[C], None]], Callable[[], None]]:
    """Turn the decorated function of a configuration into a command that takes overrides.

    The configuration is composed from configs/<config_name>.yaml and has the type `schema`.
    """

    def command_of(run: Callable[[C], None]) -> Callable[[], None]:
        return partial(_command, run, schema, config_name)

    return command_of


def _command(run: Callable[[C], None], schema: type[C], config_name: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # By default, waiting OpenMP threads spin, which slows down others on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = _parser(run.__doc__)
    parser.add_argument("--config-dir", type=Path, default=CONFIGS, help="the folder to compose")
    parser.add_argument("--config-name", default=config_name, help="its main file, without .yaml")
    given = parser.parse_intermixed_args()
    with one_line_errors():
        run(read_config(schema, given.config_name, given.overrides, folder=given.config_dir))


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("overrides", nargs="*", metavar="setting=value", help="set this instead")
    return parser


@contextmanager
def one_line_errors() -> Generator[None]:
    """Exit with a one-line message and code 1 on an error that the user can fix."""
    try:
        with file_errors():
            yield
    except (ProjectError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {explain(error)}")


def explain(error: Exception) -> str:
    """Return the error as one line."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        choices = ", ".join(error.options)
        return f"there is no configs/{error.missing_cfg_file}.yaml; choose one of: {choices}"
    return " ".join(str(error).split())


def read_config(
    schema: type[C], name: str, overrides: Sequence[str] = (), *, folder: Path = CONFIGS
) -> C:
    """Return the checked configuration of `name`.yaml in a folder.

    Raises:
        ConfigError: A setting is unknown or without a value, or its value cannot be used.
    """
    return to_config(_composed(overrides, name, folder), schema)


def to_config(composed: DictConfig, schema: type[C]) -> C:
    """Return the checked configuration that `composed` describes.

    Raises:
        ConfigError: A setting is unknown or without a value, or its value cannot be used.
    """
    if missing := OmegaConf.missing_keys(composed):
        raise ConfigError(f"{min(missing)} has no value, only ???")
    return _renamed(typed("", schema, OmegaConf.to_container(composed, resolve=True)))


def _renamed(config: C) -> C:
    """Return the configuration with values of deprecated names under their current ones."""
    rate = config.training.learning_rate
    if rate is None:
        return config
    log.warning("training.learning_rate is now optimizer.learning_rate")
    training = replace(config.training, learning_rate=None)
    optimizer = replace(config.optimizer, learning_rate=rate)
    return replace(config, training=training, optimizer=optimizer)


def _composed(
    overrides: Sequence[str],
    name: str = "config",
    folder: Path = CONFIGS,
    *,
    with_hydra: bool = False,
) -> DictConfig:
    """Return what Hydra composes from `name`.yaml in a folder, with Hydra's settings if requested.

    Raises:
        ConfigError: A file or an argument cannot be read.
    """
    if not CONFIGS.is_dir():
        raise ConfigError(f"there is no {CONFIGS}/ here; run this in the project's root")
    checked = [*map(_checked, overrides)]
    with hydra.initialize_config_dir(str(folder.resolve()), version_base="1.3"):
        try:
            return hydra.compose(name, checked, return_hydra_config=with_hydra)
        except _UNREADABLE as error:
            raise ConfigError(str(error)) from error


def _checked(argument: str) -> str:
    """Return an argument in the syntax of Hydra's overrides.

    Raises:
        ConfigError: A folder of configs/ does not have the file that was chosen.
    """
    name, equals, value = argument.lstrip("+").partition("=")
    if not name or not equals or argument.startswith("~"):
        return argument
    folder = CONFIGS / name.partition("@")[0]
    if not folder.is_dir():
        return f"++{name}={value}"  # `typed` rejects unknown settings
    files = folder.rglob("*.yaml")
    choices = sorted(file.relative_to(folder).with_suffix("").as_posix() for file in files)
    is_choice = set(value.strip("[]").split(",")) <= set(choices)
    require(is_choice, name, f"one of {', '.join(choices)}", value)
    return argument


def compose(overrides: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return the checked settings of configs/, and the file chosen from each of its folders.

    Raises:
        ConfigError: A setting has a value that cannot be used.
    """
    composed = _composed(overrides, with_hydra=True)
    choices = dict(composed.hydra.runtime.choices)
    with open_dict(composed):
        del composed["hydra"]
    to_config(composed, Config)
    return _values(composed), choices


def read_params() -> dict[str, Any]:
    """Return the settings in params.yaml, or an empty dict if the file is missing."""
    return _values(OmegaConf.load(PARAMS)) if PARAMS.exists() else {}


def write_params(settings: dict[str, Any]) -> None:
    """Write params.yaml; print which overwritten values did not come from configs/."""
    if lost := _foreign(settings):
        hint = "`make keep EXP=name` writes the values of an experiment there"
        print(f"params.yaml: {', '.join(lost)} overwritten by configs/; {hint}", file=sys.stderr)
    text = OmegaConf.to_yaml(settings)
    with new_file(PARAMS) as new:
        new.write_text(f"{_mark(text)}\n{text}", encoding="utf-8")


def _foreign(settings: dict[str, Any]) -> list[str]:
    """Return how params.yaml differs from the settings, if `write_params` did not write it."""
    if not PARAMS.exists():
        return []
    mark, _, text = PARAMS.read_text(encoding="utf-8").partition("\n")
    # DVC removes the mark, and an edit leaves it outdated.
    return [] if mark == _mark(text) else differences(flat(read_params()), flat(settings))


def _mark(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"# Composed from configs/ by `make params`; change values there. {digest}"


def _values(composed: Any) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))


def main() -> None:
    """Write params.yaml."""
    overrides = _parser("Write the composed configuration to params.yaml.").parse_args().overrides
    with one_line_errors():
        settings, _ = compose(overrides)
        write_params(settings)


if __name__ == "__main__":
    main()

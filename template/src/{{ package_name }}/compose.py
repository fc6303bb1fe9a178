"""The command line of every stage: Hydra composes, config.py checks, an error ends in one line.

`python -m <package>.compose` writes the composed configuration to params.yaml, which DVC reads;
settings such as `training.epochs=1` may follow. With `--check` it says whether the file is current.
"""

import argparse
import hashlib
import logging
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeVar, cast

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from .artifacts import new_file
from .config import Config, differences, flat
from .errors import ProjectError, file_errors
from .paths import CONFIGS, PARAMS
from .rules import ConfigError, require

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
        _require_names(sys.argv[1:])
        sys.argv[1:1] = _QUIET
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


def to_config(composed: DictConfig, schema: type[C]) -> C:
    """Return the checked configuration that `composed` describes.

    Raises:
        ConfigError: A value is out of its range.
        OmegaConfBaseException: A key is unknown or a value has the wrong type.
    """
    if missing := OmegaConf.missing_keys(composed):
        raise ConfigError(f"{min(missing)} has no value, only ???")
    typed = OmegaConf.structured(schema(model={"name": "?"}))
    for section in filter(OmegaConf.is_config, typed.values()):
        OmegaConf.set_readonly(section, False)  # frozen classes make frozen nodes
    try:
        return _renamed(cast(C, OmegaConf.to_object(OmegaConf.merge(typed, composed))))
    except OverflowError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"a number among the settings is too large: {reason}") from error


def _renamed(config: C) -> C:
    """Return the configuration with what was given under a former name under its present one."""
    rate = config.training.learning_rate
    if rate is None:
        return config
    log.warning("training.learning_rate is now optimizer.learning_rate")
    training = replace(config.training, learning_rate=None)
    optimizer = replace(config.optimizer, learning_rate=rate)
    return replace(config, training=training, optimizer=optimizer)


def explain(error: Exception) -> str:
    """Return one line that says which setting was wrong and what would have been right."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(error, MissingConfigException) and error.options is not None:
        choices = ", ".join(error.options)
        return f"there is no configs/{error.missing_cfg_file}.yaml; choose one of: {choices}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _explain_key(cause)
    return " ".join(str(error).split())


def _explain_key(error: OmegaConfBaseException) -> str:
    key = str(error.full_key)
    section, _, name = key.rpartition(".")
    if not isinstance(error, ConfigKeyError | ConfigAttributeError):
        return f"{key}: {str(error.msg).splitlines()[0]}"
    known = [other for other in _field_names(error, section) if other != name]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of: {', '.join(known)}"
    return f"{key} is not a setting; {hint}" if known else f"{key} is not a setting"


def _field_names(error: OmegaConfBaseException, section: str) -> list[str]:
    node: Any = error.object_type
    if not is_dataclass(node):
        node = Config()
        for name in filter(None, section.split(".")):
            node = getattr(node, name, None)
    return [field.name for field in fields(node)] if is_dataclass(node) else []


def _require_root() -> None:
    if not CONFIGS.is_dir():
        raise ConfigError(f"there is no {CONFIGS}/ here; run this in the project's root")


def _require_names(overrides: list[str]) -> None:
    """Raise where a folder of configs/ is given something else than names of its files."""
    for override in overrides:
        group, equals, _ = override.lstrip("+").partition("=")
        folder = CONFIGS / group.partition("@")[0]
        if equals and group and folder.is_dir():
            parsed = OverridesParser.create().parse_override(override)
            given: Any = parsed.value()
            names = given if isinstance(given, list) else [given]
            is_named = parsed.is_sweep_override() or all(isinstance(name, str) for name in names)
            choices = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            require(is_named, group, f"one of {choices}", given)


def compose(overrides: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return the checked settings that configs/ describes, and which file it has from each folder.

    Raises:
        ConfigError: A setting has a value that cannot be used.
    """
    _require_names(list(overrides))
    with hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base="1.3"):
        try:
            composed = hydra.compose("config", list(overrides), return_hydra_config=True)
        except _UNREADABLE as error:
            raise ConfigError(str(error)) from error
    choices = dict(composed.hydra.runtime.choices)
    with open_dict(composed):
        del composed["hydra"]
    to_config(composed, Config)
    return _values(composed), choices


def read_params() -> dict[str, Any]:
    """Return the settings in params.yaml; none where there is no such file."""
    return _values(OmegaConf.load(PARAMS)) if PARAMS.exists() else {}


def write_params(settings: dict[str, Any]) -> None:
    """Write params.yaml; say in one line which values it had that did not come from configs/."""
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
    """Write params.yaml, or check that it is current."""
    parser = argparse.ArgumentParser(description="Write the composed configuration to params.yaml.")
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    parser.add_argument("overrides", nargs="*", metavar="setting=value", help="set this instead")
    arguments = parser.parse_args()
    with one_line_errors():
        _require_root()
        settings, _ = compose(arguments.overrides)
        if not arguments.check:
            write_params(settings)
        elif read_params() != settings:
            raise ProjectError("params.yaml is not what configs/ composes; run `make params`")


if __name__ == "__main__":
    main()

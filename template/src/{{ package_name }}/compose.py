"""The command line of every stage: Hydra composes, config.py checks, an error ends in one line.

`python -m <package>.compose` writes the composed configuration to params.yaml, which DVC reads;
with `--check` it says whether the file is current.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, cast

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from .config import MODEL_CONFIGS, Config, ConfigError, ModelConfig
from .errors import ProjectError
from .paths import CONFIGS, PARAMS

# Hydra's own folder and log file per run: DVC and the tracker already keep what they would hold.
_QUIET = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)


def stage(run: Callable[[Config], None]) -> Callable[[], None]:
    """Return the command that calls `run` with the configuration its arguments describe."""

    def job(composed: DictConfig) -> None:
        # Here as well as around Hydra, which would print a line of its own before passing it on.
        with one_line_errors():
            run(to_config(composed))

    def command() -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us whole, not printed and lost
        # Threads that wait must not spin: on a busy machine they would starve those that work.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        sys.argv[1:1] = _QUIET
        with one_line_errors():
            _require_root()
            configs = str(CONFIGS.resolve())
            hydra.main(version_base="1.3", config_path=configs, config_name="config")(job)()

    return command


@contextmanager
def one_line_errors() -> Generator[None]:
    """End the process with one line and exit code 1 on an error that the user can mend."""
    try:
        yield
    except (ProjectError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {explain(error)}")


def to_config(composed: DictConfig) -> Config:
    """Return the checked configuration that `composed` describes.

    Raises:
        ConfigError: A value is out of its range.
        OmegaConfBaseException: A key is unknown or a value has the wrong type.
    """
    model_config = MODEL_CONFIGS.get(composed.model.name, ModelConfig)
    schema = OmegaConf.structured(Config(model=model_config()))
    for section in filter(OmegaConf.is_config, schema.values()):
        OmegaConf.set_readonly(section, False)  # frozen classes make frozen nodes
    return cast(Config, OmegaConf.to_object(OmegaConf.merge(schema, composed)))


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
    return f"{key} is not a setting; {hint}"


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


def _params() -> str:
    with hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base="1.3"):
        composed = hydra.compose("config")
    to_config(composed)
    return OmegaConf.to_yaml(composed, resolve=True)


def main() -> None:
    """Write params.yaml, or check that it is current."""
    parser = argparse.ArgumentParser(description="Write the composed configuration to params.yaml.")
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    check = parser.parse_args().check
    with one_line_errors():
        _require_root()
        params = _params()
        if not check:
            PARAMS.write_text(params, encoding="utf-8")
        elif not PARAMS.exists() or PARAMS.read_text(encoding="utf-8") != params:
            raise ProjectError("params.yaml is not what configs/ composes; run `make params`")


if __name__ == "__main__":
    main()

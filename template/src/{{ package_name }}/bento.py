"""What `make bento` packs and `bentoml serve` runs: the service, with the settings of configs/.

`serving.model` must be a folder that bentofile.yaml includes. Address and port are bentoml's.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from bentoml.images import Image

from .artifacts import CONFIGS, require
from .compose import one_line_errors, to_config
from .serving.bentoml import create_service
from .serving.config import ServeConfig
from .serving.engine import Engine
from .serving.schema import schema_of

if TYPE_CHECKING:
    from .serving.predictor import Predictor


def settings() -> ServeConfig:
    """Return the settings of the server.

    Raises:
        ProjectError: A value is invalid, or there is no bundle.
    """
    with hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base="1.3"):
        config = to_config(hydra.compose("serve"), ServeConfig)
    require(Path(config.serving.model), stage="train")
    return config


def load() -> "Predictor":
    """Return the model of the bento.

    Raises:
        BundleError: The bundle is damaged.
    """
    from .models.bundle import Bundle
    from .serving.predictor import Predictor

    serving = config.serving
    return Predictor(Bundle.load(Path(serving.model)), num_threads=serving.num_threads)


with one_line_errors():
    config = settings()

# The image installs the packages of uv.lock, from the indexes of pyproject.toml, without dev.
image = Image(
    lock_python_packages=False,
    build_include_paths=["pyproject.toml", "uv.lock"],
    post_commands=["uv sync --directory src --active --locked --no-dev --no-install-project"],
)
service = create_service(Engine(load), config.serving, schema_of(config), image=image)

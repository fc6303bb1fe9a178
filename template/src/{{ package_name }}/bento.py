"""The service that `make bento` packs and `bentoml serve` runs, with the settings of configs/.

`serving.model` must be a folder in bentofile.yaml. `bentoml serve` sets the address and port,
and all hosts are allowed unless `serving.security.allowed_hosts` names them.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from bentoml.images import Image

from .artifacts import require
from .compose import one_line_errors, read_config
from .lookup import find_optional
from .serving.bentoml import create_service
from .serving.config import ServeConfig
from .serving.engine import Engine
from .serving.source import Source, load_predictor

with one_line_errors():
    config = read_config(ServeConfig, "serve")
    serving = replace(config.serving, host="0.0.0.0")
    require(Path(config.serving.model), stage="train")
    engine = Engine(Source(partial(load_predictor, config)), serving)
    for folder in ("monitoring", "deployment"):
        if observe := find_optional("observe", folder=folder, name="observer"):
            observe(engine, config)

# The image installs the packages of uv.lock, from the indexes of pyproject.toml.
image = Image(
    lock_python_packages=False,
    build_include_paths=["pyproject.toml", "uv.lock"],
    post_commands=[
        "uv sync --directory src --active --locked --no-default-groups --no-install-project"
    ],
)
service = create_service(engine, image=image)

"""Last stage: serve predictions over HTTP, from models/bundle/ or the registry's champion."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .compose import stage
from .lookup import find_function, find_optional
from .serving.config import ServeConfig

if TYPE_CHECKING:
    from .serving.predictor import Predictor
    from .serving.watcher import Found, Source
    from .tracking.registry import RegisteredModel, Registry

ALIASES = ("champion", "challenger")


@stage(ServeConfig, "serve")
def main(config: ServeConfig) -> None:
    """Serve until interrupted."""
    from .serving.engine import Engine

    serving, challenger = config.serving, None
    if serving.shadow.model:
        shadow = replace(serving, model=serving.shadow.model)
        challenger = model_source(replace(config, serving=shadow))
    serve = find_function("serve", folder="serving", name=serving.name, setting="serving.name")
    engine = Engine(model_source(config), serving, challenger)
    if observe := find_optional("observe", folder="monitoring", name="observer"):
        observe(engine, config)
    serve(engine)


def model_source(config: ServeConfig) -> "Source":
    """Return where the model comes from that `serving.model` names."""
    from .serving.watcher import Source

    return Source(partial(load_predictor, config), partial(find_model, config))


def find_model(config: ServeConfig) -> "Found":
    """Return what `load_predictor` would load.

    Raises:
        TrackingError: No version has the alias, or the registry does not answer.
    """
    from .serving.watcher import Found, find_in_folder

    if config.serving.model not in ALIASES:
        return find_in_folder(Path(config.serving.model))
    _, model = _aliased(config)
    return Found(f"version {model.version} of {model.name}", model)


def load_predictor(config: ServeConfig) -> "Predictor":
    """Return the model that `serving.model` names.

    Raises:
        TrackingError: No version has the alias, or it cannot be fetched.
        BundleError: The bundle is missing, damaged or not signed with the key that is asked for.
    """
    from .models.bundle import Bundle
    from .serving.predictor import Predictor
    from .serving.signature import require_signed
    from .tracking.registry import CHAMPIONS

    serving = config.serving
    load = partial(Predictor, backend=serving.backend, num_threads=serving.num_threads)
    if serving.model not in ALIASES:
        require_signed(Path(serving.model), serving.signature_key)
        return load(Bundle.load(Path(serving.model)))
    registry, model = _aliased(config)
    bundle = registry.load(model)
    require_signed(CHAMPIONS / model.version, serving.signature_key)
    return load(bundle, version=model.version)


def _aliased(config: ServeConfig) -> "tuple[Registry, RegisteredModel]":
    from .tracking.base import TrackingError
    from .tracking.registry import create_registry

    registry = create_registry(config.tracking)
    name, alias = config.registry.model_name, config.serving.model
    model = registry.aliased(name, alias)
    if model is None:
        way_out = "run `make register`" if alias == "champion" else "set it in the registry"
        raise TrackingError(f"{name} has no {alias}; {way_out}")
    return registry, model


if __name__ == "__main__":
    main()

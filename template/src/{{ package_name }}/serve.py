"""Last stage: serve predictions over HTTP, from models/bundle/ or the registry's champion."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .compose import stage
from .lookup import find_function
from .serving.config import ServeConfig

if TYPE_CHECKING:
    from .serving.predictor import Predictor

CHAMPION = "champion"


@stage(ServeConfig, "serve")
def main(config: ServeConfig) -> None:
    """Serve until interrupted."""
    from .serving.engine import Engine

    name = config.serving.name
    serve = find_function("serve", folder="serving", name=name, setting="serving.name")
    serve(Engine(partial(load_predictor, config), config.serving))


def load_predictor(config: ServeConfig) -> "Predictor":
    """Return the model that `serving.model` names.

    Raises:
        TrackingError: There is no champion, or it cannot be fetched.
        BundleError: The bundle is missing or damaged.
    """
    from .models.bundle import Bundle
    from .serving.predictor import Predictor
    from .tracking.base import TrackingError
    from .tracking.registry import create_registry

    serving, model_name = config.serving, config.registry.model_name
    if serving.model != CHAMPION:
        bundle = Bundle.load(Path(serving.model))
        return Predictor(bundle, num_threads=serving.num_threads)
    registry = create_registry(config.tracking)
    champion = registry.champion(model_name)
    if champion is None:
        raise TrackingError(f"{model_name} has no champion; run `make register`")
    bundle = registry.load(champion)
    return Predictor(bundle, version=champion.version, num_threads=serving.num_threads)


if __name__ == "__main__":
    main()

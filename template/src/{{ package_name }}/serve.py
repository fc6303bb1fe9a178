"""Last stage: serve predictions over HTTP, from models/bundle/ or the registry's champion."""

from dataclasses import replace

from .compose import stage
from .lookup import find_function, find_optional
from .serving.config import ServeConfig


@stage(ServeConfig, "serve")
def main(config: ServeConfig) -> None:
    """Serve until interrupted."""
    from .serving.engine import Engine
    from .serving.source import model_source

    serving, challenger = config.serving, None
    if serving.shadow.model:
        shadow = replace(serving, model=serving.shadow.model)
        challenger = model_source(replace(config, serving=shadow))
    serve = find_function("serve", folder="serving", name=serving.name, setting="serving.name")
    engine = Engine(model_source(config), serving, challenger)
    if observe := find_optional("observe", folder="monitoring", name="observer"):
        observe(engine, config)
    serve(engine)


if __name__ == "__main__":
    main()

"""Last stage: serve predictions over HTTP, from models/bundle/ or the registry's champion."""

from .compose import stage
from .lookup import find_function, find_optional
from .serving.config import ServeConfig


@stage(ServeConfig, "serve")
def main(config: ServeConfig) -> None:
    """Serve until interrupted."""
    from .serving.engine import Engine
    from .serving.source import model_source

    name = config.serving.name
    serve = find_function("serve", folder="serving", name=name, setting="serving.name")
    engine = Engine(model_source(config), config.serving)
    for folder in ("monitoring", "deployment"):
        if observe := find_optional("observe", folder=folder, name="observer"):
            observe(engine, config)
    serve(engine)


if __name__ == "__main__":
    main()

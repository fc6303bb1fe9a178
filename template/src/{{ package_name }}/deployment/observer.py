"""What watches the model for a platform: a challenger, and traces of requests."""

from dataclasses import replace

from ..serving.config import ServeConfig
from ..serving.engine import Engine
from ..serving.source import model_source
from .config import settings
from .shadow import Shadow
from .tracing import Tracing


def observe(engine: Engine, config: ServeConfig) -> None:
    """Have a challenger compared with the model, and traces sent, if the settings say so.

    Raises:
        ConfigError: Traces are to be sent, and OpenTelemetry is not installed.
    """
    asked = settings(config)
    if asked.shadow.model:
        serving = replace(config.serving, model=asked.shadow.model)
        challenger = model_source(replace(config, serving=serving))
        Shadow(challenger, engine, share=asked.shadow.share)
    if asked.otlp_endpoint:
        engine.telemetry.tracing = Tracing(asked.otlp_endpoint)

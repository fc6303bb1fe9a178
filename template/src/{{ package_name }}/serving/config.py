"""The settings of the server."""

from dataclasses import dataclass, field
from typing import Annotated

from ..config import Config
from ..rules import Checked, Name, PositiveFloat, PositiveInt, require, within


@dataclass(frozen=True)
class ServingConfig(Checked, section="serving"):
    """The HTTP server."""

    name: Name = "none"
    """The folder in serving/ that holds the server."""
    model: Name = "models/bundle"
    """A bundle's folder, or `champion` for the registry's."""
    host: Name = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every network interface."""
    port: Annotated[int, within(0, 65_535)] = 8000
    """TCP port; 0 takes a free one."""
    num_threads: PositiveInt = 1
    """Threads of one forward pass. One is fastest for small models under load."""
    max_batch_size: PositiveInt = 64
    """Inputs that are predicted together, and inputs of one request, at most."""
    max_text_length: PositiveInt = 20_000
    """Characters of one text, at most."""
    max_body_bytes: PositiveInt = 8_000_000
    """Bytes of one request, at most; a larger one gets a 413."""
    max_queue_size: int = 1024
    """Inputs that may wait; a request that exceeds it gets a 503."""
    max_wait_s: PositiveFloat = 10.0
    """Seconds that an input may wait for the model; one that would wait longer gets a 503."""

    def __post_init__(self) -> None:
        super().__post_init__()
        room = self.max_queue_size >= self.max_batch_size
        expected = f">= serving.max_batch_size={self.max_batch_size}"
        require(room, "serving.max_queue_size", expected, self.max_queue_size)


@dataclass(frozen=True)
class ServeConfig(Config):
    """The configuration of all stages and of the server: configs/serve.yaml."""

    serving: ServingConfig = field(default_factory=ServingConfig)

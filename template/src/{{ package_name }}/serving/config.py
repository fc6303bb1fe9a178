"""The settings of the server."""

from dataclasses import dataclass, field

from ..config import Config
from ..rules import AT_LEAST_ONE, NOT_EMPTY, POSITIVE, Rule, check, require


@dataclass(frozen=True)
class ServingConfig:
    """The HTTP server."""

    name: str = "fastapi"
    """The folder in serving/ that holds the server."""
    model: str = "models/bundle"
    """A bundle's folder, or `champion` for the registry's."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every network of the machine."""
    port: int = 8000
    """TCP port; 0 takes a free one."""
    num_threads: int = 1
    """Threads of one forward pass. One is the fastest for small models under load."""
    max_batch_size: int = 64
    """Inputs that are predicted together, and that one request may send."""
    max_text_length: int = 20_000
    """Characters of one text, at most."""
    max_queue_size: int = 1024
    """Inputs that may wait; beyond them a request is answered 503."""
    max_wait_s: float = 10.0
    """Seconds that an input may wait for the model; one that would wait longer is answered 503."""

    def __post_init__(self) -> None:
        check(
            "serving",
            self,
            name=NOT_EMPTY,
            model=NOT_EMPTY,
            host=NOT_EMPTY,
            port=Rule("in [0, 65535]", lambda port: 0 <= port <= 65_535),
            num_threads=AT_LEAST_ONE,
            max_batch_size=AT_LEAST_ONE,
            max_text_length=AT_LEAST_ONE,
            max_wait_s=POSITIVE,
        )
        room = self.max_queue_size >= self.max_batch_size
        expected = f">= serving.max_batch_size={self.max_batch_size}"
        require(room, "serving.max_queue_size", expected, self.max_queue_size)


@dataclass(frozen=True)
class ServeConfig(Config):
    """The whole configuration and the server's, as configs/serve.yaml composes it."""

    serving: ServingConfig = field(default_factory=ServingConfig)

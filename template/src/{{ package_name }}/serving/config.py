"""The settings of the server."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from ..config import Config
from ..rules import (
    Checked,
    Name,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Rule,
    require,
    within,
)


class LogFormat(StrEnum):
    """How a server writes its log."""

    text = "text"
    json = "json"


@dataclass(frozen=True)
class SecurityConfig(Checked, section="serving.security"):
    """Who may use the server."""

    api_keys_file: str | None = None
    """A file with the SHA-256 of an API key in each line, which is read again when it changes. With
    it, or with digests in the environment variable SERVING_API_KEYS, each request needs a key, even
    if all keys are of administrators: else taking away the last other key would let everyone in."""
    open_paths: list[str] | None = None
    """Paths that need no key; null for the page and the probes. Those of `/admin/` always do."""
    max_requests_per_key: PositiveInt = 256
    """Requests with the same key that are answered at once; one more gets a 429."""
    allowed_hosts: list[str] = field(default_factory=list)
    """Names that a request's header `Host` may have, as `api.example.org` or `*.example.org`. If
    empty: those of loopback if the server listens there, else all. Probes may have any."""
    cors_origins: list[str] = field(default_factory=list)
    """Sites whose pages may use the server, as `https://example.org`; `*` for all."""


@dataclass(frozen=True)
class ServingConfig(Checked, section="serving"):
    """The HTTP server."""

    name: Name = "none"
    """The folder in serving/ that holds the server."""
    model: Name = "models/bundle"
    """A bundle's folder, or `champion` for the registry's."""
    watch_interval_s: NonNegativeFloat = 10.0
    """Seconds between two looks for a new version of the model; 0 serves the first one forever."""
    host: Name = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every network interface."""
    port: Annotated[int, within(0, 65_535)] = 8000
    """TCP port; 0 takes a free one."""
    backend: Name = "onnx"
    """What computes the model: `onnx` or `torch`, which also serves what could not be exported."""
    num_threads: PositiveInt = 1
    """Threads of one forward pass. One is fastest for small models under load."""
    max_batch_size: PositiveInt = 64
    """Inputs that are predicted together, and inputs of one request, at most."""
    max_text_length: PositiveInt = 20_000
    """Characters of one text, at most."""
    max_body_bytes: PositiveInt = 8_000_000
    """Bytes of one request, at most; a larger one gets a 413."""
    max_bytes_in_flight: int = 256_000_000
    """Bytes of all requests that are not answered, at most; one that exceeds it gets a 503."""
    header_timeout_s: PositiveFloat = 10.0
    """Seconds until a request's head is complete, or the client has taken more of an answer; then
    the connection is closed."""
    body_timeout_s: PositiveFloat = 30.0
    """Seconds until a request's body is complete; then it gets a 408."""
    max_queue_size: int = 1024
    """Inputs that may wait; a request that exceeds it gets a 503."""
    max_wait_s: PositiveFloat = 10.0
    """Seconds that a client waits for its answer. A request gets a 503 if they have passed, or if
    those before it should take about 0.8 of them."""
    drain_s: NonNegativeFloat = 1.0
    """Seconds from SIGTERM in which connections are still accepted, while /ready answers 503: the
    time that a load balancer needs to notice."""
    shutdown_timeout_s: PositiveFloat = 30.0
    """Seconds from SIGTERM until the process ends; requests that are still open then get a 503."""
    docs: bool = False
    """Serve the documentation of requests and answers at /docs."""
    log_format: LogFormat = LogFormat.text
    """`json` writes a line of JSON for each record, with the id of its request."""
    access_log: bool | None = None
    """Whether each request is logged; if null, it is with `log_format: json`."""
    security: SecurityConfig = field(default_factory=SecurityConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = f"> serving.drain_s={self.drain_s:g}"
        timeout_s = self.shutdown_timeout_s
        require(timeout_s > self.drain_s, "serving.shutdown_timeout_s", expected, timeout_s)
        room = self.max_queue_size >= self.max_batch_size
        expected = f">= serving.max_batch_size={self.max_batch_size}"
        require(room, "serving.max_queue_size", expected, self.max_queue_size)
        room = self.max_bytes_in_flight >= self.max_body_bytes
        expected = f">= serving.max_body_bytes={self.max_body_bytes}"
        require(room, "serving.max_bytes_in_flight", expected, self.max_bytes_in_flight)


@dataclass(frozen=True)
class ServeConfig(Config):
    """The configuration of all stages and of the server: configs/serve.yaml."""

    serving: ServingConfig = field(default_factory=ServingConfig)
    monitoring: dict[str, Any] = field(default_factory=dict)
    """What is recorded of predictions, in a project that was made with monitoring."""
    deployment: dict[str, Any] = field(default_factory=dict)
    """What a platform asks of the server, in a project that was made for one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("monitoring", "deployment"):
            given = getattr(self, name)
            is_read = not given or (Path(__file__).parents[1] / name / "config.py").is_file()
            require(is_read, name, "empty in a project that was made without it", given)


FORMATS = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ServeConfig):
    """The configuration of `predict`: that of the server, which names the model, and its own."""

    input: Name
    """A file or folder of rows: all that `data.path` can be, with the names of `data.columns`."""
    output: Annotated[
        str, Rule(f"a file {' or '.join(FORMATS)}", lambda name: Path(name).suffix in FORMATS)
    ]
    """The file to write. It appears when it is complete; an interrupted run continues, or starts
    over with `resume=never`."""
    keep: list[str] | None = None
    """Columns of the input that the output has; null for all, except those of bytes."""
    rejects: str | None = None
    """A file for JSON lines of the rows that cannot be predicted, as those without a text; null
    ends with an error at the first. A line that is no row, as one with too many cells, always does.
    """
    batch_size: PositiveInt = 64
    """Rows that are predicted together."""
    num_workers: Annotated[int, within(1, 256)] = 1
    """Processes that share the rows, with `serving.num_threads` threads each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        source, output = Path(self.input).resolve(), Path(self.output).resolve()
        for name, given in (("output", self.output), ("rejects", self.rejects)):
            is_apart = given is None or not Path(given).resolve().is_relative_to(source)
            require(is_apart, name, "outside of `input`, which it would replace", given)
        is_apart = self.rejects is None or Path(self.rejects).resolve() != output
        require(is_apart, "rejects", "another file than `output`", self.rejects)

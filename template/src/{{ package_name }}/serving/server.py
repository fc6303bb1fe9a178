"""The server process of an app: its socket, its slow clients and its graceful shutdown."""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache, partial
from http import HTTPStatus
from itertools import chain
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ..errors import ProjectError
from .config import ServingConfig
from .engine import LOADER_THREAD, MODEL_THREAD, Engine
from .guard import HEADERS, IS_READ, LOST, NO_FRAMES
from .problems import ProblemResponse, UnavailableError
from .source import WATCHER_THREAD
from .telemetry import JsonFormatter

MAX_HEAD_BYTES = 65_536
"""Of a request: its first line and its headers."""
PREDICTIONS = (b"/predict", b"/predict/batch")
KEEP_ALIVE_S = 75
"""How long an idle connection stays open. Load balancers, many of which wait for 60 s, must be the
ones who close it: else they send a request at the moment in which it is closed here."""
GRACE_S = 1.0
"""How long it stays open at the end: a request may be on its way."""

log = logging.getLogger(__name__)


class ServingError(ProjectError):
    """The server cannot run as it was configured."""


class RefusedRequest:
    """Stands for a request that uvicorn has not seen."""

    response_complete = True
    message_event = asyncio.Event()


class Connection:
    """What a connection does differently than uvicorn's, whichever of its two parsers it has."""

    engine: Engine
    transport: Any
    parser: Any
    flow: Any
    cycle: Any = None
    """The last request that was read."""
    running: Any = None
    """The request that the app answers: an earlier one if several are sent at once."""
    lost: "asyncio.Future[None]"
    url: bytes
    headers: list[tuple[bytes, bytes]]
    scope: dict[str, Any]
    timeout_keep_alive_task: Any
    timeout_keep_alive_handler: Any
    num_head_bytes: int | None = None
    """How much of a request's head was read after its first data; `None` outside a head."""

    def connection_made(self, transport: Any) -> None:
        """Let requests know when the connection is lost."""
        self.lost = asyncio.get_running_loop().create_future()
        self._uvicorn.connection_made(transport)

    def on_message_begin(self) -> None:
        """Count from here. The parser h11, which does not call this, has a limit itself."""
        self.num_head_bytes = 0
        self._uvicorn.on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse a prediction for which there is no room, or let the app answer.

        To refuse it here, with no task, no id and no line in the log, takes little time, which is
        left for those that are admitted. (The parser h11 leaves it to the app.)
        """
        self.num_head_bytes = None
        if len(self.url) + sum(map(len, chain(*self.headers))) > MAX_HEAD_BYTES:
            self.cycle = RefusedRequest()
            self._refuse_head()
            return
        if self._is_plain_prediction and (refusal := self.engine.refusal()):
            self.cycle = RefusedRequest()  # so that uvicorn ignores the body
            self.transport.write(_refusal_answer(refusal.detail, refusal.retry_after_s))
            self.engine.telemetry.count_refused(self.url.decode(), refusal)
            self._uvicorn.on_response_complete()
            return
        self._uvicorn.on_headers_complete()
        if self.engine.is_stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Tell the app, which need not wait for the body, unless the parser is h11."""
        self.scope[IS_READ] = True
        self._uvicorn.on_message_complete()
        # uvicorn would let a connection wait for ever whose request was answered before its body.
        is_idle = self.cycle.response_complete and self.timeout_keep_alive_task is None
        if is_idle and not self.transport.is_closing():
            self.timeout_keep_alive_task = asyncio.get_running_loop().call_later(
                KEEP_ALIVE_S, self.timeout_keep_alive_handler
            )

    @property
    def _is_plain_prediction(self) -> bool:
        """Whether no earlier request waits for its answer, and nothing else is to be observed."""
        return (
            self.url in PREDICTIONS
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.flow.write_paused
            and b"origin" not in dict(self.headers)  # a browser needs CORS
            and not self.engine.is_stopping
        )

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head is too large."""
        if self.num_head_bytes is not None:
            self.num_head_bytes += len(data)
        self._uvicorn.data_received(data)
        is_too_large = (self.num_head_bytes or 0) > MAX_HEAD_BYTES
        if is_too_large and not self.transport.is_closing():
            self._refuse_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered; uvicorn tells the last one alone."""
        self.lost.set_result(None)
        if self.running:
            self.running.disconnected = True
        self._uvicorn.connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        cycle.scope[LOST] = self.lost
        self._uvicorn._start_asgi_task(cycle, app)

    def send_400_response(self, message: str) -> None:
        """Answer what is no HTTP in the format of all errors."""
        self._answer(400, message)

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing of a client that asks for WebSockets."""

    def _refuse_head(self) -> None:
        self._answer(431, f"the head has more than {MAX_HEAD_BYTES} bytes")

    def _answer(self, status: int, message: str) -> None:
        error = HTTPException(status, message, {"Connection": "close"})
        self.transport.write(_whole_answer(error))
        self.transport.close()

    @property
    def _uvicorn(self) -> Any:
        return super()


@lru_cache
def _refusal_answer(detail: str, retry_after_s: int) -> bytes:
    return _whole_answer(UnavailableError(detail, retry_after_s=retry_after_s))


def _whole_answer(error: HTTPException) -> bytes:
    """Return the bytes of an answer of HTTP/1.1."""
    problem = ProblemResponse(error)
    headers = b"".join(
        b"%s: %s\r\n" % header for header in (*problem.raw_headers, *HEADERS, NO_FRAMES)
    )
    start = f"HTTP/1.1 {problem.status_code} {HTTPStatus(problem.status_code).phrase}"
    return b"%s\r\n%s\r\n%s" % (start.encode(), headers, problem.body)


class Server(uvicorn.Server):
    """A server that loses no request when it stops.

    After the signal, /ready answers 503, and the answers to new requests say `Connection: close`,
    so that the client sends no other one on its connection. For `serving.drain_s`, connections are
    still accepted: load balancers take a while to send none.
    """

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._header_timeout_s = engine.config.header_timeout_s
        self._awaited: dict[Any, tuple[Any, float]] = {}
        self.ends_at = 0.0
        """When the process must have ended, on the clock of `monotonic`."""
        self._engine = engine
        self._drain_s = 0.0
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            ws="none",
        )
        config.load()
        bases: Any = Connection, config.http_protocol_class
        config.http_protocol_class = type("Protocol", bases, {"engine": engine})
        super().__init__(config)

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second, and look for slow clients once a second."""
        if counter % 10 == 0:
            self._close_slow_connections()
        return await super().on_tick(counter)

    def _close_slow_connections(self) -> None:
        """Close connections whose client has sent no whole head, or taken no answer, for too long.

        uvicorn closes idle ones, on which nothing was sent since the last answer.
        """
        now, awaited = monotonic(), {}
        for connection in self._connections:
            is_idle = connection.timeout_keep_alive_task is not None
            is_answered = connection.cycle is None or connection.cycle.response_complete
            num_unsent = connection.transport.get_write_buffer_size()
            if num_unsent or (is_answered and not is_idle):
                state = connection.cycle, num_unsent
                last, since = self._awaited.get(connection, (None, now))
                since = since if last == state else now
                awaited[connection] = state, since
                if now - since > self._header_timeout_s:
                    connection.transport.abort()
        self._awaited = awaited

    @property
    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)  # of HTTP/1.1

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second SIGINT stops at once.

        uvicorn would raise the signal again at the end, and the exit code would not be 0.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self._drain_s = 0.0 if sig == signal.SIGINT else self._engine.config.drain_s
        self.should_exit = self._engine.is_stopping = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, and answer the requests that are there."""
        self.ends_at = monotonic() + self._engine.config.shutdown_timeout_s
        await self._wait(self._drain_s)
        await self._accept_last(sockets or [])
        await self._wait(GRACE_S, for_connections=True)
        for connection in self._connections:
            connection.shutdown()
        await self._wait(self.ends_at - monotonic() - 2 * GRACE_S, for_connections=True)
        for connection in self._connections:
            if connection.transport.get_write_buffer_size():
                connection.transport.abort()  # uvicorn would log a traceback of its task
        self.config.timeout_graceful_shutdown = max(0, int(self.ends_at - monotonic()))
        await super().shutdown(sockets)

    async def _accept_last(self, listeners: Sequence[socket.socket]) -> None:
        """Close the sockets, and accept the connections that waited there: else they were reset."""
        accepted: list[socket.socket] = []
        for listener in listeners:
            with suppress(OSError):  # no more of them
                while True:
                    accepted.append(listener.accept()[0])
        for one in (*self.servers, *listeners):
            one.close()
        create_protocol = partial(
            self.config.http_protocol_class,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        for one in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(create_protocol, one)

    async def _wait(self, seconds: float, *, for_connections: bool = False) -> None:
        """Return after that time, or earlier if told to stop at once, or no connection is open."""
        end = monotonic() + seconds
        while monotonic() < end and not self.force_exit:
            self._close_slow_connections()
            if for_connections and not self.server_state.connections:
                return
            await asyncio.sleep(0.1)


def run(app: ASGIApp, engine: Engine, *, note: str) -> None:
    """Answer requests until SIGINT or SIGTERM, and finish those that are being answered.

    The line that tells the address ends with `note`.

    Raises:
        ServingError: The server cannot listen on its address.
        ProjectError: The model could not be loaded, and the server has stopped.
    """
    if engine.telemetry.is_json:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
    listener = _listen(engine.config)
    server = Server(app, engine)
    engine.on_error = lambda: setattr(server, "should_exit", True)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    log.info("serving on %s, %s", url, note)
    server.run(sockets=[listener])
    if engine.error:
        raise engine.error
    _wait_for_the_model(server.ends_at)


def _wait_for_the_model(ends_at: float) -> None:
    """Return when its last batch is done, or it is loaded; exit if that takes too long.

    Python would abort the process when it ends while a thread is in PyTorch's code.
    """
    for thread in threading.enumerate():
        if thread.name in (MODEL_THREAD, LOADER_THREAD, WATCHER_THREAD):
            thread.join(max(0, ends_at - monotonic()))
            if thread.is_alive():
                os._exit(0)


def _listen(config: ServingConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listener = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # socket adds the address again
        place = f"{config.host}:{config.port}"
        raise ServingError(
            f"cannot listen on {place} ({reason}); set serving.host or serving.port"
        ) from error
    # Accepted sockets inherit it. asyncio sets it itself, but not for sockets of `create_server`.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener

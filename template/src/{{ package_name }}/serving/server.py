"""A server's process: its address, its end, and the one line when it cannot run."""

import asyncio
import logging
import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ProjectError
from .config import ServingConfig
from .engine import Engine

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_S = 30
GRACE_S = 1.0
"""How long an idle connection stays open after the signal: a request may be on its way."""


class ServingError(ProjectError):
    """The server cannot run as it was configured."""


class Server(uvicorn.Server):
    """Stops without losing a request that a client sends on a connection it has kept.

    From the signal on, each answer says `Connection: close`, so that the client sends no other.
    """

    def __init__(self, app: ASGIApp) -> None:
        async def announcing(scope: Scope, receive: Receive, send: Send) -> None:
            async def announce(message: Message) -> None:
                if self.should_exit and message["type"] == "http.response.start":
                    headers = [*message.get("headers", []), (b"connection", b"close")]
                    message = {**message, "headers": headers}
                await send(message)

            await app(scope, receive, announce)

        super().__init__(
            uvicorn.Config(
                announcing,
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, and close those that stay idle for `GRACE_S`."""
        for server in self.servers:
            server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                while self.server_state.connections and not self.force_exit:
                    await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def run(app: ASGIApp, engine: Engine, config: ServingConfig, *, documented_at: str) -> None:
    """Answer requests until SIGINT or SIGTERM, and finish those that are being answered.

    Raises:
        ServingError: The address cannot be listened on.
        ProjectError: The engine has no model to load, and the server has stopped.
    """
    listener = _listen(config)
    server = Server(app)
    engine.on_error = lambda: setattr(server, "should_exit", True)
    log.info("serving on %s, documented at %s", _url(listener), documented_at)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if engine.error:
        raise engine.error


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
    # What it accepts inherits this. asyncio would set it, but not for sockets of `create_server`.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

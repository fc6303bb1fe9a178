"""A server's process: its address, its end, and the one line when it cannot run."""

import logging
import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from ..errors import ProjectError
from .config import ServingConfig
from .engine import Engine

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_S = 30


class ServingError(ProjectError):
    """The server cannot run as it was configured."""


def run(app: ASGIApp, engine: Engine, config: ServingConfig, *, documented_at: str) -> None:
    """Answer requests until SIGINT or SIGTERM, and finish those that are being answered.

    Raises:
        ServingError: The address cannot be listened on.
        ProjectError: The engine has no model to load, and the server has stopped.
    """
    listener = _listen(config)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        )
    )
    engine.on_error = lambda: setattr(server, "should_exit", True)
    log.info("serving on %s, documented at %s", _url(listener), documented_at)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if engine.error:
        raise engine.error


def _listen(config: ServingConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # socket adds the address again
        place = f"{config.host}:{config.port}"
        raise ServingError(
            f"cannot listen on {place} ({reason}); set serving.host or serving.port"
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

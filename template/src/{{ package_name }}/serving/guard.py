"""ASGI middleware around a server's app: hosts, API keys, and the size and time of bodies.

It adds security headers to all answers, and gives each error the format of problems.py.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Set
from functools import lru_cache
from pathlib import Path
from time import monotonic

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..rules import ConfigError
from .config import SecurityConfig, ServingConfig
from .engine import Engine
from .problems import ProblemResponse, Reason, RefusedError, UnavailableError, as_problem

IS_READ, LOST = "is_read", "lost"
"""In a scope of server.py: whether the body is read; a future, done when the client disconnects."""
API_KEYS = "SERVING_API_KEYS"
"""The environment variable with API keys, as in their file but with commas between them."""
ADMIN = "/admin/"
"""Paths that need the key of an administrator, even where others need no key."""
RELOAD_S = 1.0
"""How often the file of API keys is looked at, at most."""
CLOSE = {"Connection": "close"}
"""Of an answer to a request whose body is not read to its end."""
BUSY = {**CLOSE, "Retry-After": "1"}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
POLICY = b"content-security-policy"
NO_FRAMES = (POLICY, b"frame-ancestors 'none'")
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]

Headers = Mapping[bytes, bytes]

log = logging.getLogger(__name__)


def protect(app: ASGIApp, engine: Engine) -> ASGIApp:
    """Return the app of an engine behind the checks that are configured.

    Raises:
        ConfigError: The file of API keys cannot be used.
    """
    config, probes = engine.config, frozenset(engine.probes)
    security = config.security
    app = Keys(app, security, probes)
    if security.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=security.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Traceparent",
                "X-API-Key",
                "X-Request-Id",
                "X-Request-Timeout",
            ],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    return Guard(app, config, probes)


class Guard:
    """Checks that need no key, and what all answers have in common."""

    def __init__(self, app: ASGIApp, config: ServingConfig, probes: Set[str]) -> None:
        self.app = app
        self._config = config
        self._probes = probes
        self._is_allowed = _host_check(config)
        self._num_bytes = 0
        """Of the bodies of requests that are not answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = complete = False
        num_bytes = 0

        def count(more: int) -> None:
            nonlocal num_bytes
            num_bytes += more
            self._num_bytes += more
            if num_bytes > self._config.max_body_bytes:
                raise _too_large(self._config.max_body_bytes)
            if self._num_bytes > self._config.max_bytes_in_flight:
                raise RefusedError(503, "too much is being read", Reason.queue_full, BUSY)

        async def finish(message: Message) -> None:
            nonlocal started, complete
            if complete:  # by an answer in place of this one
                return
            parts = [message]
            if message["type"] == "http.response.start":
                started = True
                headers = [*message.get("headers", ()), *HEADERS]
                if POLICY not in dict(headers):  # the page has its own
                    headers.append(NO_FRAMES)
                message = {**message, "headers": headers}
                parts = as_problem(message) or [message]
            for part in parts:
                await send(part)
                complete = part["type"] == "http.response.body" and not part.get("more_body")

        try:
            headers = dict(scope["headers"])
            # Kubernetes probes an address.
            is_probe = scope["path"] in self._probes
            if not is_probe and not self._is_allowed(headers.get(b"host", b"")):
                detail = "this host is not in serving.security.allowed_hosts"
                raise RefusedError(421, detail, Reason.host)
            await self.app(scope, self._limited(scope, headers, receive, count), finish)
        except asyncio.CancelledError:  # by uvicorn, at the end of its shutdown
            if started:
                raise
            error = UnavailableError("the server is stopping", Reason.stopping)
            await ProblemResponse(error)(scope, receive, finish)
        except Exception as error:
            if started and not complete:
                raise  # uvicorn logs it, and closes the connection
            if not isinstance(error, HTTPException):
                log.exception("a request failed")
                error = HTTPException(500)
            if not complete:  # as a framework does that raises after it has answered
                await ProblemResponse(error)(scope, receive, finish)
        finally:
            self._num_bytes -= num_bytes

    def _limited(
        self, scope: Scope, headers: Headers, receive: Receive, count: Callable[[int], None]
    ) -> Receive:
        """Return what receives and counts a body, and raises when it is too slow.

        Raises:
            RefusedError: Its header says already that it is too large.
        """
        limit, seconds = self._config.max_body_bytes, self._config.body_timeout_s
        length = headers.get(b"content-length")
        if length is None and b"transfer-encoding" not in headers:
            return receive
        if int(length or 0) > limit:
            raise _too_large(limit)
        deadline = asyncio.get_running_loop().time() + seconds
        complete = False

        async def limited() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            if scope.get(IS_READ):  # so there is no need of a timer, a tenth of a request's time
                message = await receive()
            else:
                try:
                    async with asyncio.timeout_at(deadline):
                        message = await receive()
                except TimeoutError as error:
                    detail = f"the body was not complete after {seconds:g} s"
                    raise RefusedError(408, detail, Reason.body_too_slow, CLOSE) from error
            complete = not message.get("more_body")
            count(len(message.get("body", b"")))
            return message

        return limited


def _too_large(limit: int) -> RefusedError:
    detail = f"the body has more than {limit} bytes"
    return RefusedError(413, detail, Reason.body_too_large, CLOSE)


class Keys:
    """Lets requests with an API key pass if there are keys, and so many at once of each."""

    def __init__(self, app: ASGIApp, config: SecurityConfig, probes: Set[str]) -> None:
        self.app = app
        self._keys = KeyRing(config.api_keys_file)
        paths = config.open_paths
        self._open = frozenset(["/", *probes] if paths is None else paths)
        self._most = config.max_requests_per_key
        self._in_flight: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in self._open:
            return await self.app(scope, receive, send)
        for_admin = scope["path"].startswith(ADMIN)
        if not self._keys.are_required and not for_admin:
            return await self.app(scope, receive, send)
        try:
            key = self._keys.check(dict(scope["headers"]), for_admin=for_admin)
            if self._in_flight[key] >= self._most:
                detail = f"{self._most} requests with this key are being answered"
                raise RefusedError(429, detail, Reason.too_many_of_key, {"Retry-After": "1"})
        except RefusedError as error:
            return await ProblemResponse(error)(scope, receive, send)
        self._in_flight[key] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._in_flight[key] -= 1
            if not self._in_flight[key]:
                del self._in_flight[key]


class KeyRing:
    """The SHA-256 digests of the API keys: those of `API_KEYS`, and those of a file.

    The file has a digest in each line, in hexadecimal, and `admin` after it if the key may also be
    used for `ADMIN`. It is read again when it changes; if that fails, the keys stay as they were.
    """

    def __init__(self, file: str | None) -> None:
        """Read the keys.

        Raises:
            ConfigError: One of them is no digest, or the file cannot be read.
        """
        self._file = None if file is None else Path(file)
        self._fixed = _digests(os.environ.get(API_KEYS, "").replace(",", "\n"), API_KEYS)
        self._version, self._looked_at = self._version_of_file(), monotonic()
        self._digests = self._fixed | self._of_file()

    @property
    def are_required(self) -> bool:
        """Whether requests need a key."""
        return self._file is not None or bool(self._fixed)

    def check(self, headers: Headers, *, for_admin: bool) -> str:
        """Return the digest of a request's key.

        Raises:
            RefusedError: The request has no key, or one that is unknown or not an administrator's.
        """
        self._reload()
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        key = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        given = hashlib.sha256(key).hexdigest()
        # All are compared, so that the time does not tell which one is alike.
        found = [digest for digest in self._digests if hmac.compare_digest(digest, given)]
        if not found:
            detail = "an API key is needed, as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            raise RefusedError(401, detail, Reason.key, {"WWW-Authenticate": "Bearer"})
        if for_admin and not self._digests[given]:
            raise RefusedError(403, "this needs the API key of an administrator", Reason.key)
        return given

    def _reload(self) -> None:
        if self._file is None or monotonic() - self._looked_at < RELOAD_S:
            return
        self._looked_at = monotonic()
        version, self._version = self._version, self._version_of_file()
        if version == self._version:
            return
        try:
            self._digests = self._fixed | self._of_file()
            count = len(self._digests)
            log.info("%s has changed: %d API key%s", self._file, count, "s" * (count != 1))
        except ConfigError as error:
            log.error("the API keys stay as they were: %s", error)

    def _version_of_file(self) -> object:
        try:
            status = self._file.stat() if self._file else None
        except OSError:
            return None
        if status is None:
            return None
        # The ctime changes with the permissions too, and with a content that has an old mtime.
        return status.st_ctime_ns, status.st_mtime_ns, status.st_ino, status.st_size

    def _of_file(self) -> dict[str, bool]:
        if self._file is None:
            return {}
        try:
            text = self._file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(
                f"serving.security.api_keys_file: {self._file} cannot be read ({reason})"
            ) from error
        return _digests(text, str(self._file))


def _digests(text: str, origin: str) -> dict[str, bool]:
    """Return whether each key is an administrator's, by its digest."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        digest, *role = line.partition("#")[0].split() or [""]
        if digest:
            if not re.fullmatch("[0-9a-fA-F]{64}", digest):  # it may be the key itself: not shown
                hint = "`printf %s KEY | sha256sum` prints it"
                raise ConfigError(f"line {number} of {origin} is no SHA-256 in hexadecimal; {hint}")
            if not {*role} <= {"admin", "-"}:  # sha256sum writes the `-`
                raise ConfigError(f"line {number} of {origin} has more than a SHA-256 and `admin`")
            found[digest.lower()] = "admin" in role
    return found


def _host_check(config: ServingConfig) -> Callable[[bytes], bool]:
    """Return whether a header `Host` is allowed.

    By default, a server on loopback answers to names of loopback alone: else a web page could reach
    it from the browser of its user, under a name of its own that leads to 127.0.0.1.
    """
    allowed = [name.lower() for name in config.security.allowed_hosts]
    if not allowed and config.host in LOOPBACK:
        allowed = [*LOOPBACK, "[::1]"]
    if not allowed or "*" in allowed:
        return lambda host: True
    endings = tuple(name[1:] for name in allowed if name.startswith("*."))

    @lru_cache(maxsize=64)
    def is_allowed(host: bytes) -> bool:
        name = re.sub(r":\d*$", "", host.decode("latin-1").lower())
        return name in allowed or name.endswith(endings)

    return is_allowed

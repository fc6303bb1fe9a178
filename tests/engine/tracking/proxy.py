"""A proxy in front of a server. It passes requests on, is slow, answers 500, or loses answers."""

import http.client
import time
from contextlib import suppress
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

NOT_PASSED_ON = ("connection", "transfer-encoding", "content-length", "host")


class Mode(StrEnum):
    """What becomes of a request."""

    passes = "passes"
    fails = "fails"
    """It does not reach the server; the answer is 500."""
    is_slow = "is slow"
    """The answer comes `delay_s` late."""
    loses_answers = "loses answers"
    """The server does what it is asked to, and the connection ends without an answer."""


class Proxy:
    """Listens on `port` of this machine, for the server on `server_port`."""

    def __init__(self, server_port: int, *, delay_s: float = 3) -> None:
        self.mode = Mode.passes
        self.server_port = server_port
        self.delay_s = delay_s
        self.has_lost = Event()
        """An answer has been lost."""
        self._listener = _Listener(self)
        Thread(target=self._listener.serve_forever, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_port}"

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy


class _Handler(BaseHTTPRequestHandler):
    def _handle(self) -> None:
        assert isinstance(self.server, _Listener)
        proxy, mode = self.server.proxy, self.server.proxy.mode
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if mode is Mode.fails:
            self.send_error(500)
            return
        try:
            status, headers, answer = self._ask(proxy.server_port, body)
        except OSError:  # the server is dead
            self.close_connection = True
            return
        if mode is Mode.loses_answers:
            proxy.has_lost.set()
            self.close_connection = True
            return
        if mode is Mode.is_slow:
            time.sleep(proxy.delay_s)
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        with suppress(ConnectionError):  # whoever asked has given up
            self.end_headers()
            self.wfile.write(answer)

    def _ask(self, port: int, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        passed_on = {k: v for k, v in self.headers.items() if k.lower() not in NOT_PASSED_ON}
        try:
            connection.request(self.command, self.path, body, passed_on)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    do_GET = do_POST = do_PUT = do_PATCH = _handle

"""A simulator on a real port, and callbacks over real HTTP."""

import http.client
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from werkzeug.serving import WSGIRequestHandler, make_server

from ..core.types import RawRequest

Wsgi = Callable[..., Iterable[bytes]]


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Requests of a simulator are nobody's log lines."""


class Served:
    """A WSGI application that is being served; close it, or use it as a context manager."""

    def __init__(self, app: Wsgi, host: str, port: int) -> None:
        self._server = make_server(host, port, app, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(app: Wsgi, host: str = "127.0.0.1", port: int = 0) -> Served:
    """Port 0 takes any free port; `Served.url` tells which."""
    return Served(app, host, port)


def send(url: str, callback: RawRequest, *, timeout: float = 30.0) -> tuple[int, dict[str, str], bytes]:
    """The callback as it stands, to this URL: (status, headers in lower case, body)."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.scheme not in ("http", "https"):
        raise ValueError("the URL must be http(s)://host/path")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    target = (parts.path or "/") + (f"?{callback.query or parts.query}" if callback.query or parts.query else "")
    try:
        connection.putrequest(callback.method, target, skip_accept_encoding=True)
        for name, value in callback.headers:
            connection.putheader(name, value.encode("latin-1"))
        if callback.header("content-length") is None:
            connection.putheader("content-length", str(len(callback.body)))
        connection.endheaders(callback.body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()

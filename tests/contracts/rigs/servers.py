"""Servers that all tests of a run share: each is started when the first test needs it."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any, TypeVar

from werkzeug.serving import WSGIRequestHandler, make_server

T = TypeVar("T")


class Servers:
    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Any] = {}

    def get(self, name: str, start: Callable[[], AbstractContextManager[T]]) -> T:
        """What `start` yielded at the first call with this name."""
        if name not in self._running:
            self._running[name] = self._stack.enter_context(start())
        found: T = self._running[name]
        return found


class _Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def served(app: Callable[..., Iterable[bytes]]) -> Iterator[str]:
    """A WSGI application on a free port of the loopback: its address, without a slash at the end."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

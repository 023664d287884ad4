"""A whole request on its thread: gunicorn parses it, the application is asked, its answer is sent.

Nothing of a request is printed: gunicorn's own lines about bad ones hold the path, the query and headers.
"""

import socket
from collections.abc import Iterable
from contextlib import closing, nullcontext
from functools import partial
from typing import Any, Final

from gunicorn.http import errors, wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

from .terse import raw_answer
from .together import Steps

_UNREAD: Final = 64 * 1024
"""Bytes of a body that the application left alone and that are passed over for the sake of the connection."""

_KEPT: Final = 16 * 1024
"""Bytes of an answer that wait for the rest of it."""

_STATUSES: Final[dict[type, int]] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.UnsupportedTransferCoding: 501,
    errors.ExpectationFailed: 417,
}
"""Whatever else the parser refuses is a 400."""


class ExchangeWorker(ThreadWorker):
    """What a request goes through once its bytes are in the parser of its connection."""

    def exchange(self, conn: TConn) -> Steps:
        """One request. It waits where the application does not begin its answer before it is asked for it."""
        req: Any = None
        resp: Any = None
        parser: Any = conn.parser
        try:
            req = next(parser)
            resp, environ = self._prepared(req, conn)
            pieces = self.wsgi(environ, partial(_start, resp))
            if resp.status is None:
                yield
            _send(resp, pieces)
            return not resp.should_close() and bool(parser.finish_body(max_bytes=_UNREAD))
        except (StopIteration, errors.NoMoreData, OSError) as error:
            self.log.debug("A sender is gone: %s", type(error).__name__)
        except (Exception, SystemExit) as error:
            if resp is None or not resp.sock.begun:
                self.handle_error(req, conn.sock, conn.client, error)
            else:  # an answer has begun: that it ends too soon is all that can be said to the sender
                self.tell(500, type(error).__name__, method=req.method)
        return False

    def _prepared(self, req: Any, conn: TConn) -> tuple[Any, Any]:
        """gunicorn's answer to be, and the WSGI environment. WSGI joins repeated headers with a comma; the application
        finds them as they came beside the body."""
        req.body.headers = req.headers
        resp: Any
        resp, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg)
        environ["wsgi.multithread"] = True
        resp.sock = _Outgoing(conn.sock)
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not self.alive or not self.cfg.keepalive or len(self.keepalived_conns) >= self.max_keepalived:
            resp.force_close()
        return resp, environ

    def handle_error(self, req: Any, client: socket.socket, _addr: Any, exc: BaseException) -> None:
        """The parser refused it, or the application failed before it answered."""
        ours = not isinstance(exc, errors.ParseException) or type(exc).__name__.startswith("InvalidResponse")
        status = 500 if ours else _STATUSES.get(type(exc), 400)
        self.tell(status, type(exc).__name__, method=getattr(req, "method", None) or "")
        self.send(client, raw_answer(status))

    def tell(self, status: int, reason: str, **facts: Any) -> None:
        """A line like those of the web layer, through the logger that every gunicorn configuration has."""
        tell = self.log.error if status == 500 else self.log.warning
        tell("callback", extra={"status": status, "reason": reason, **facts})

    def send(self, client: socket.socket, data: bytes) -> None:
        """A few bytes, which the system's buffer takes at once, or nobody reads them anyway."""
        try:
            client.send(data)
        except OSError as error:
            self.log.debug("A sender is gone: %s", type(error).__name__)


class _Outgoing:
    """What gunicorn takes for the socket of an answer: head and body leave in one piece, where they are short."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._kept = b""
        self.begun = False

    def sendall(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) >= _KEPT:
            self.flush()

    def flush(self) -> None:
        self.begun = True
        kept, self._kept = self._kept, b""
        self._sock.sendall(kept)


def _start(resp: Any, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
    """gunicorn drops the header by which an application ends the connection, and would keep it."""
    if ("Connection", "close") in headers:
        resp.force_close()
    return resp.start_response(status, headers, exc_info)


def _send(resp: Any, pieces: Iterable[bytes]) -> None:
    closed: Any = closing(pieces) if hasattr(pieces, "close") else nullcontext()
    with closed:
        for piece in pieces:
            resp.write(piece)
        resp.close()
    resp.sock.flush()

"""Reading a callback's body: whole, within its size and its time."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..core.errors import BodyTooLarge, BodyTooSlow, BrokenRequest

_TICK = 0.5


class Watch:
    """Ends connections whose body is late: a server's blocking read knows no deadline, so a thread cuts it off.

    The thread starts with the first body that is waited for, in each process.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[float, socket.socket]] = {}
        self._late: set[int] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, connection: socket.socket | None) -> Iterator[None]:
        """BodyTooSlow at the end where the connection had to be cut."""
        if connection is None:
            yield
            return
        number = connection.fileno()
        with self._lock:
            self._watched[number] = (time.monotonic() + self.seconds, connection)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="body-watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(number, None)
                late = number in self._late
                self._late.discard(number)
        if late:
            raise BodyTooSlow("body_too_slow")

    def _run(self) -> None:
        while True:
            time.sleep(min(_TICK, self.seconds))
            now = time.monotonic()
            with self._lock:
                for number, (until, connection) in list(self._watched.items()):
                    if now >= until:
                        self._late.add(number)
                        del self._watched[number]
                        connection.shutdown(socket.SHUT_RD)


def read_body(environ: Mapping[str, Any], limit: int, watch: Watch) -> bytes:
    """The exact bytes. Raises BodyTooLarge, BodyTooSlow, or BrokenRequest where the sender stopped in the middle."""
    length = _length(environ)
    if length is not None and length > limit:
        raise BodyTooLarge("body_too_large")
    if length == 0 and "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return b""
    try:
        with watch.over(environ.get("gunicorn.socket")):
            body: bytes = environ["wsgi.input"].read(limit + 1 if length is None else length)
    except (OSError, EOFError, ValueError) as error:
        raise BrokenRequest("broken_body") from error
    except Exception as error:  # the server's own parse errors of a chunked body have no common base
        if type(error).__module__.startswith("gunicorn."):
            raise BrokenRequest("broken_body") from error
        raise
    if len(body) > limit:
        raise BodyTooLarge("body_too_large")
    if length is not None and len(body) < length:
        raise BrokenRequest("body_cut_short")
    return body


def _length(environ: Mapping[str, Any]) -> int | None:
    """None for a chunked body. A server has refused what is not a number already."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return None
    text = environ.get("CONTENT_LENGTH") or "0"
    if not (text.isascii() and text.isdigit()):
        raise BrokenRequest("bad_content_length")
    return int(text)

"""Misbehaviour on demand: which quirk is shown how often, and files that arrive cut, slow or not at all."""

import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from flask import Response, request

CALLBACK_QUIRKS = ("duplicate", "reorder", "late", "wrong_signature")
FILE_QUIRKS = ("expired_link", "truncated", "short_of_length", "trickle", "reset")
"""`truncated` is cut with an honest Content-Length, `short_of_length` promises more than it sends."""

LATE = 3600
_PIECES = 10

Pause = Callable[[float], object]


class Quirks:
    """Counts down how often each quirk is still to be shown."""

    def __init__(self, known: tuple[str, ...], pause: Pause = time.sleep) -> None:
        self._known = known
        self._left: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._pause = pause

    def add(self, quirk: str, times: int) -> None:
        if quirk not in self._known:
            raise ValueError(f"unknown quirk {quirk!r} (known: {', '.join(self._known)})")
        with self._lock:
            self._left[quirk] += times

    def take(self, quirk: str) -> bool:
        """Is it to be shown now? Counts it as shown."""
        with self._lock:
            shown = self._left[quirk] > 0
            self._left[quirk] -= shown
            return shown

    def file(self, content: bytes) -> Response:
        """The PDF, or what the next quirk makes of it."""
        if self.take("expired_link"):
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, mimetype="application/xml")
        half = content[: len(content) // 2]
        if self.take("truncated"):
            return _pdf(iter([half]), len(half))
        if self.take("short_of_length"):
            return _pdf(iter([half]), len(content))
        if self.take("reset"):
            return _pdf(_then_reset(half, request.environ.get("werkzeug.socket")), len(content))
        if self.take("trickle"):
            return _pdf(self._slowly(content), len(content))
        return _pdf(iter([content]), len(content))

    def _slowly(self, content: bytes) -> Iterator[bytes]:
        step = max(1, len(content) // _PIECES)
        for start in range(0, len(content), step):
            yield content[start : start + step]
            self._pause(0.2)


def _pdf(body: Iterator[bytes], length: int) -> Response:
    return Response(body, mimetype="application/pdf", headers={"Content-Length": str(length)})


def _then_reset(beginning: bytes, connection: socket.socket | None) -> Iterator[bytes]:
    """Closing with a linger time of zero sends RST instead of the polite end."""
    yield beginning
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())
    raise ConnectionResetError("reset on demand")

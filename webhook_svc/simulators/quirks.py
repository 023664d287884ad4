"""Misbehaviour on demand: which quirk is shown how often, and files that arrive cut, slow, wrong or not at all."""

import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from flask import Response, redirect, request

CALLBACK_QUIRKS = ("duplicate", "reorder", "dropped", "wrong_signature")
"""`dropped` callbacks of a signing are never sent: only the provider's list tells of it."""
TIMED_QUIRKS = ("late",)
ROTATION_QUIRKS = ("rotated_secret",)
FILE_QUIRKS = (
    *("truncated", "short_of_length", "trickle", "reset"),
    *("empty_file", "html_file", "json_file", "private_redirect"),
)
"""`truncated` is cut with an honest Content-Length, `short_of_length` promises more than it sends; `html_file` and
`json_file` are a page and an error object, with status 200, where the file was expected."""
LINK_QUIRKS = ("expired_link",)
API_QUIRKS = (
    *("rate_limited", "rate_limited_silently", "server_error", "unavailable", "html_page"),
    *("not_ready", "not_found", "hostile_name"),
)
"""`rate_limited_silently` is a 429 without Retry-After, `html_page` a page with status 200 in place of an answer."""
CERTIFICATE_QUIRKS = ("certificate_late",)
TOKEN_QUIRKS = ("token_expired", "token_down")
LIST_QUIRKS = ("list_shrinks",)
"""An entry vanishes from a page of the list that was read already, so that the next page begins one entry late."""
HOOK_QUIRKS = ("hook_failing", "hook_disabled")
"""The sender says that it could not deliver callbacks, or gave up."""

LATE = 3600
HOSTILE_NAME = "../../etc/passwd\r\nX-Injected: yes\x00"
PRIVATE_ADDRESS = "http://169.254.169.254/latest/meta-data/"
_PAGE = "<!doctype html><title>Sign in</title><p>Please sign in to go on."
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

    def left(self, quirk: str) -> int:
        """How often it is still to be shown."""
        with self._lock:
            return self._left[quirk]

    def page(self) -> Response | None:
        """A page for people with status 200, as gateways like to show."""
        return Response(_PAGE, mimetype="text/html") if self.take("html_page") else None

    def file(self, content: bytes, kind: str = "application/pdf", *, name: str = "") -> Response:
        """The file, or what the next quirk makes of it. `name` is announced in Content-Disposition."""
        answer = self._spoiled(content, kind)
        if name:
            quoted = name.encode("ascii", "replace").decode().translate({ord(letter): "_" for letter in '\r\n\x00"\\'})
            answer.headers["Content-Disposition"] = f'attachment; filename="{quoted}"'
        return answer

    def _spoiled(self, content: bytes, kind: str) -> Response:
        if self.take("html_file"):
            return Response(_PAGE, mimetype="text/html")
        if self.take("json_file"):
            return Response('{"error": "internal", "message": "try again"}', mimetype="application/json")
        if self.take("private_redirect"):
            return redirect(PRIVATE_ADDRESS)  # type: ignore[return-value]  # it is a flask.Response when flask serves
        if self.take("empty_file"):
            return _file(iter(()), 0, kind)
        half = content[: len(content) // 2]
        if self.take("truncated"):
            return _file(iter([half]), len(half), kind)
        if self.take("short_of_length"):
            return _file(iter([half]), len(content), kind)
        if self.take("reset"):
            return _file(_then_reset(half, request.environ.get("werkzeug.socket")), len(content), kind)
        if self.take("trickle"):
            return _file(self._slowly(content), len(content), kind)
        return _file(iter([content]), len(content), kind)

    def _slowly(self, content: bytes) -> Iterator[bytes]:
        step = max(1, len(content) // _PIECES)
        for start in range(0, len(content), step):
            yield content[start : start + step]
            self._pause(0.2)


def _file(body: Iterator[bytes], length: int, kind: str) -> Response:
    return Response(body, content_type=kind, headers={"Content-Length": str(length)})


def _then_reset(beginning: bytes, connection: socket.socket | None) -> Iterator[bytes]:
    """Closing with a linger time of zero sends RST instead of the polite end. The server goes on to look at the socket:
    one whose other end is gone takes its place."""
    yield beginning
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ended, other = socket.socketpair()
        with ended:
            other.close()
            os.dup2(ended.fileno(), connection.fileno(), inheritable=False)
    raise ConnectionResetError("reset on demand")

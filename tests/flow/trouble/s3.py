"""A door before an S3 server: answers writes with what a real one may answer, counts what was really written."""

import hashlib
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import Enum
from io import BytesIO
from typing import Any

from werkzeug.test import run_wsgi_app

from tests.flow.trouble.occasions import Drawn, Occasions

Wsgi = Callable[..., Iterable[bytes]]


class Lie(Enum):
    """(status, S3's own word, is it written before that is said?)"""

    ERROR_AFTER = ("500 Internal Server Error", "InternalError", True)
    EXISTS_AFTER = ("412 Precondition Failed", "PreconditionFailed", True)
    SLOW_DOWN = ("503 Slow Down", "SlowDown", False)
    CONFLICT = ("409 Conflict", "ConditionalRequestConflict", False)
    EXISTS = ("412 Precondition Failed", "PreconditionFailed", False)

    @property
    def written(self) -> bool:
        return self.value[2]


class S3Door:
    """A WSGI application before another one. What is no write of an object (looks, lists, single parts) passes, and so
    does what the server itself refuses."""

    def __init__(self, app: Wsgi, *, seed: int = 0) -> None:
        self.writes: dict[str, list[str]] = defaultdict(list)
        """`bucket/key` → the SHA-256 of what was written there, each time; of a multipart upload that of its list."""
        self._app = app
        self._lies: Occasions[Lie] = Occasions(seed)
        self._lock = threading.Lock()

    def trouble(self, lie: Lie, *, share: float = 1.0, number: int | None = None) -> Drawn[Lie]:
        """`share` of the writes meet it, `number` of them at the most each time that it begins. Several may be on."""
        return self._lies.trouble(f"s3 {lie.name.lower().replace('_', ' ')}", lie, share, number)

    def rewritten(self) -> dict[str, int]:
        """The objects that were written more than once, and how often."""
        with self._lock:
            return {key: len(hashes) for key, hashes in self.writes.items() if len(hashes) > 1}

    def altered(self) -> list[str]:
        """Those of them that got other bytes."""
        with self._lock:
            return [key for key, hashes in self.writes.items() if len(set(hashes)) > 1]

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if not _writes(environ):
            return self._app(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        lie = self._lies.draw(lambda lie: not lie.written)
        return _say(lie, start) if lie else self._write(environ, body, start)

    def _write(self, environ: dict[str, Any], body: bytes, start: Callable[..., Any]) -> Iterable[bytes]:
        answer, status, headers = run_wsgi_app(self._app, {**environ, "wsgi.input": BytesIO(body)})
        if status.startswith("2"):
            with self._lock:
                self.writes[environ["PATH_INFO"].lstrip("/")].append(hashlib.sha256(body).hexdigest())
            lie = self._lies.draw(lambda lie: lie.written)
            if lie:
                return _say(lie, start)
        start(status, list(headers))
        return answer


def _writes(environ: dict[str, Any]) -> bool:
    """A whole object, or the end of a multipart upload."""
    query, key = environ.get("QUERY_STRING", ""), environ["PATH_INFO"].lstrip("/").partition("/")[2]
    if environ["REQUEST_METHOD"] == "PUT":
        return bool(key) and "uploadId=" not in query
    return environ["REQUEST_METHOD"] == "POST" and bool(re.search(r"(^|&)uploadId=", query))


def _say(lie: Lie, start: Callable[..., Any]) -> list[bytes]:
    status, code, _ = lie.value
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]

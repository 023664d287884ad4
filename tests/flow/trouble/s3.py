"""A door before an S3 server: answers writes with what a real one may answer, counts what was really written."""

import hashlib
import random
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from typing import Any

from werkzeug.test import run_wsgi_app

Wsgi = Callable[..., Iterable[bytes]]


class Lie(Enum):
    """(status, S3's own word, is it written before that is said?)"""

    ERROR_AFTER = ("500 Internal Server Error", "InternalError", True)
    EXISTS_AFTER = ("412 Precondition Failed", "PreconditionFailed", True)
    SLOW_DOWN = ("503 Slow Down", "SlowDown", False)
    CONFLICT = ("409 Conflict", "ConditionalRequestConflict", False)
    EXISTS = ("412 Precondition Failed", "PreconditionFailed", False)


class S3Door:
    """A WSGI application before another one. What is no write of an object (looks, lists, single parts) passes."""

    def __init__(self, app: Wsgi, *, seed: int = 0) -> None:
        self.writes: dict[str, list[str]] = defaultdict(list)
        """`bucket/key` → the SHA-256 of what was written there, each time; of a multipart upload that of its list."""
        self._app = app
        self._random = random.Random(seed)
        self._troubles: list[S3Trouble] = []
        self._lock = threading.Lock()

    def trouble(self, lie: Lie, *, share: float = 1.0, number: int | None = None) -> "S3Trouble":
        """`share` of the writes meet it, `number` of them at the most each time that it begins. Several may be on."""
        return S3Trouble(self, lie, share, number)

    def rewritten(self) -> dict[str, int]:
        """The objects that were written more than once, and how often."""
        with self._lock:
            return {key: len(hashes) for key, hashes in self.writes.items() if len(hashes) > 1}

    def altered(self) -> list[str]:
        """Those of them that got other bytes."""
        with self._lock:
            return [key for key, hashes in self.writes.items() if len(set(hashes)) > 1]

    def switch(self, trouble: "S3Trouble", *, on: bool) -> None:
        with self._lock:
            self._troubles = [one for one in self._troubles if one is not trouble] + [trouble] * on

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if not _writes(environ):
            return self._app(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        lie = self._lie()
        if lie is None or lie.value[2]:
            answer, status, headers = run_wsgi_app(self._app, {**environ, "wsgi.input": BytesIO(body)})
            if status.startswith("2"):
                self._note(environ["PATH_INFO"].lstrip("/"), body)
            if lie is None or not status.startswith("2"):
                start(status, list(headers))
                return answer
        return _say(lie, start)

    def _lie(self) -> Lie | None:
        with self._lock:
            met = next((one for one in self._troubles if one.meets(self._random)), None)
            return met.lie if met else None

    def _note(self, key: str, body: bytes) -> None:
        with self._lock:
            self.writes[key].append(hashlib.sha256(body).hexdigest())


@dataclass(eq=False)
class S3Trouble:
    """See `Trouble`. What was to be written and was refused by the server itself is not lied about."""

    door: S3Door
    lie: Lie
    share: float
    number: int | None
    happened: int = 0
    left: float = 0.0

    @property
    def name(self) -> str:
        return f"s3 {self.lie.name.lower().replace('_', ' ')}"

    def start(self) -> None:
        self.left = float("inf") if self.number is None else self.number
        self.door.switch(self, on=True)

    def stop(self) -> None:
        self.door.switch(self, on=False)

    def meets(self, source: random.Random) -> bool:
        met = self.left > 0 and source.random() < self.share
        self.left -= met
        self.happened += met
        return met


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

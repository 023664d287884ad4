"""What a sender is told when its callback is not taken: one line, and nothing of what it sent."""

import traceback
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Final

import structlog

from ..core.types import EMPTY, Reply

RETRY_AFTER: Final = 10
"""Seconds after which a sender may come back when our store could not take its callback."""

CONTENT_TYPE: Final = "text/plain; charset=utf-8"

_KNOWN: Final = frozenset(HTTPStatus)
_WORDS: Final = {
    401: "not genuine",
    408: "too slow",
    413: "body too large",
    415: "encoded body",
    429: "too many",
    431: "headers too large",
    503: "try again later",
}


def words(status: int) -> str:
    return f"{_WORDS.get(status) or HTTPStatus(status).phrase.lower()}\n"


@cache
def status_line(status: int) -> str:
    """A provider may want a number that has no name."""
    return f"{status} {HTTPStatus(status).phrase}" if status in _KNOWN else f"{status} As Agreed"


def terse(status: int, *headers: tuple[str, str]) -> Reply:
    return Reply(status=status, body=words(status).encode(), content_type=CONTENT_TYPE, headers=headers)


def tell_bug(method: str, error: Exception) -> None:
    """Its message may hold anything of the request, so the line tells its class and where it was."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = [f"{frame.name}:{frame.lineno}" for frame in frames]
    structlog.get_logger().error("request.failed", method=method, error=type(error).__name__, trace=where)


def raw_answer(status: int, headers: Mapping[str, str] = EMPTY) -> bytes:
    """A whole answer in HTTP, after which the connection ends; for where no application is asked."""
    body = words(status)
    fields = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body)), "Connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status_line(status)}\r\n{head}\r\n{body}".encode("ascii")

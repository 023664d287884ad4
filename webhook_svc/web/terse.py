"""What a sender is told when its callback is not taken: one line, and nothing of what it sent."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from ..core.types import EMPTY

RETRY_AFTER: Final = 10
"""Seconds after which a sender may come back when our store could not take its callback."""

CONTENT_TYPE: Final = "text/plain; charset=utf-8"

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


def raw_answer(status: int, headers: Mapping[str, str] = EMPTY) -> bytes:
    """A whole answer in HTTP, after which the connection ends; for where no application is asked."""
    body = words(status)
    fields = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body)), "Connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n{body}".encode("ascii")

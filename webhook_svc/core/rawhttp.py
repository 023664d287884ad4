"""One raw HTTP request, as a capture or an editor left it in a file, becomes a RawRequest."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from .types import RawRequest

_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,20}) (\S+)(?: HTTP/[0-9.]+)?")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


def parse_request(raw: bytes) -> RawRequest:
    """Request line, headers, an empty line, then the body byte for byte. ValueError, in a sentence, for anything else.

    Header lines may end in CRLF or LF. The body is never touched, not even a line break that an editor put at its end.
    """
    lines, body = _split(raw)
    first = _REQUEST_LINE.fullmatch(lines[0])
    if first is None:
        raise ValueError("the first line is no request line such as: POST /hooks/contracts HTTP/1.1")
    try:
        target = urlsplit(first[2])
    except ValueError:
        raise ValueError("the first line names no usable address") from None
    headers = tuple(_header(number, line) for number, line in enumerate(lines[1:], 2))
    request = RawRequest(method=first[1], path=target.path or "/", query=target.query, headers=headers, body=body)
    if request.header_all("transfer-encoding"):
        raise ValueError("the body is still in its transfer encoding: save it as it was before it was cut into chunks")
    return request


def length_note(request: RawRequest) -> str:
    """A sentence where the body is not as long as its Content-Length says, else ""."""
    said = request.header("content-length")
    if (
        said is None
        or not (said.isascii() and said.isdigit())
        or said.lstrip("0") == str(len(request.body)).lstrip("0")
    ):
        return ""
    return f"the body has {len(request.body)} bytes, its Content-Length says {said[:20]}"


def _split(raw: bytes) -> tuple[list[str], bytes]:
    lines: list[str] = []
    rest = raw.lstrip(b"\r\n")
    while rest:
        line, ended, rest = rest.partition(b"\n")
        text = line.removesuffix(b"\r").decode("latin-1")
        if ended and not text:
            return lines, rest
        lines.append(text)
    if not lines:
        raise ValueError("it is empty")
    raise ValueError("no empty line ends the headers")


def _header(number: int, line: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(line)
    if found is None:
        raise ValueError(f"line {number} is no header such as: Content-Type: application/json")
    return found[1].lower(), found[2]


def raw_text(request: RawRequest) -> bytes:
    """The request as it goes over the wire: what `parse_request` reads, body and all. One that came in chunks has them
    no more, so it tells its length instead."""
    target = request.path + (f"?{request.query}" if request.query else "")
    head = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in _framed(request))]
    return "\r\n".join((*head, "", "")).encode("latin-1", "backslashreplace") + request.body


def _framed(request: RawRequest) -> Sequence[tuple[str, str]]:
    if not request.header_all("transfer-encoding"):
        return request.headers
    others = [(name, value) for name, value in request.headers if name not in ("transfer-encoding", "content-length")]
    return [*others, ("content-length", str(len(request.body)))]

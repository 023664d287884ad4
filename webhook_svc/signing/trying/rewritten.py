"""What becomes of a body, and of an address, on the way: the changes that break signatures most often."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, Final
from urllib.parse import urlsplit

from ...core.types import RawRequest, parse_json

MOST_REPRINTED: Final = 1_000_000
"""Bytes of a body that is parsed and printed again; a larger one is not."""

Rewrite = Callable[[], bytes | None]
"""The other body; None where it cannot be made."""

_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
_PRINTED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("as compact JSON", {"separators": (",", ":"), "ensure_ascii": False}),
    ("as compact JSON in ASCII", {"separators": (",", ":")}),
    ("as JSON with blanks behind , and :", {"ensure_ascii": False}),
    ("as JSON in ASCII with blanks behind , and :", {}),
    ("as JSON indented by 2", {"indent": 2, "ensure_ascii": False}),
    ("as JSON indented by 4", {"indent": 4, "ensure_ascii": False}),
    ("as compact JSON with sorted keys", {"separators": (",", ":"), "ensure_ascii": False, "sort_keys": True}),
)


def bodies(body: bytes) -> Iterator[tuple[str, Rewrite]]:
    """(what is different, the other body), made when it is asked for. The first is the body as it is."""
    yield "", lambda: body
    yield from ((words, partial(_other, body, rewrite)) for words, rewrite in _rewrites(body))


def _other(body: bytes, rewrite: Rewrite) -> bytes | None:
    made = rewrite()
    return None if made == body else made


def _rewrites(body: bytes) -> Iterator[tuple[str, Rewrite]]:
    yield "the body without the line break at its end", lambda: body.rstrip(b"\r\n")
    yield "the body with a line break (LF) at its end", lambda: body + b"\n"
    yield "the body with a line break (CRLF) at its end", lambda: body + b"\r\n"
    yield "the body with LF in the place of CRLF", lambda: body.replace(b"\r\n", b"\n")
    yield "the body with CRLF in the place of LF", lambda: re.sub(rb"(?<!\r)\n", b"\r\n", body)
    yield "the body without blanks around it", body.strip
    yield "the body without its byte order mark", lambda: body.removeprefix(b"\xef\xbb\xbf")
    yield "no body at all", bytes
    if len(body) <= MOST_REPRINTED:
        parsed = cache(lambda: _parsed(body))
        for words, options in _PRINTED:
            yield f"the body printed again {words}", cache(partial(_printed, parsed, options))
        yield "the body printed again as compact JSON with \\/ for /", cache(partial(_escaped, parsed))


def _parsed(body: bytes) -> tuple[Any] | None:
    try:
        return (parse_json(body),)
    except ValueError:
        return None


def _printed(parsed: Callable[[], tuple[Any] | None], options: dict[str, Any]) -> bytes | None:
    found = parsed()
    try:
        return None if found is None else json.dumps(found[0], **options).encode("utf-8", "surrogatepass")
    except (RecursionError, ValueError, TypeError):
        return None


def _escaped(parsed: Callable[[], tuple[Any] | None]) -> bytes | None:
    printed = _printed(parsed, {"separators": (",", ":")})
    return printed and printed.replace(b"/", b"\\/")


def addresses(request: RawRequest, public_url: str) -> Iterator[tuple[str, str, str]]:
    """(what is different, origin, path and query) of the ways in which senders write our address."""
    path, query = request.path, f"?{request.query}" if request.query else ""
    origin = public_url.rstrip("/")
    yield "", origin, path + query
    other = _with_other_scheme(origin)
    yield f"the address with {other.partition(':')[0]}://", other, path + query
    for name in ("host", "x-forwarded-host"):
        host = request.header(name) or ""
        if _HOST.fullmatch(host):
            yield f"the address with the host of the header {name}", f"https://{host}", path + query
            yield f"the address with http:// and the host of the header {name}", f"http://{host}", path + query
    if query:
        yield "the address without its query", origin, path
    slashed = path.rstrip("/") if path.endswith("/") else path + "/"
    yield f"the address {'with' if slashed.endswith('/') else 'without'} a slash at its end", origin, slashed + query
    yield "the path alone, without scheme and host", "", path + query
    yield "the address without our path", _bare_origin(origin), ""


def _with_other_scheme(origin: str) -> str:
    scheme, _, rest = origin.partition("://")
    return f"{'http' if scheme == 'https' else 'https'}://{rest}"


def _bare_origin(origin: str) -> str:
    parts = urlsplit(origin)
    return f"{parts.scheme}://{parts.netloc}"

"""Callbacks: an HTTP request becomes a RawRequest, a Reply or a refusal becomes an HTTP answer.

Plain WSGI in front of the Flask application: a callback needs nothing that Flask brings. Called, it begins the work;
the answer comes when the iterable is asked for it, and waits for the commit there. A server that calls for several
requests before it takes the first answer (see `patient`) lets them share one commit; to others nothing is different.
"""

import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any, Final

import structlog

from ..core.errors import Refused, StoreUnavailable, TooManyRefusals
from ..core.types import RawRequest, Reply
from ..pipeline.ingest import Answered, Begun, Ingest
from .body import read_body
from .terse import RETRY_AFTER, status_line, tell_bug, terse

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_PLACE: Final = re.compile(r"/hooks/([^/]+)(?:/([^/]+))?/?")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Hooks:
    """`/hooks/<source>[/<token>]`, with or without a slash at the end, for whatever method a handshake needs.

    Every other place is the `beyond` application's.
    """

    def __init__(self, ingest: Ingest, beyond: Wsgi) -> None:
        self._ingest = ingest
        self._beyond = beyond

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        place = _PLACE.fullmatch(environ["PATH_INFO"])
        if place is None:
            return self._beyond(environ, start_response)
        tell = partial(_tell, environ["REQUEST_METHOD"], place[1], time.perf_counter(), start_response)
        try:
            begun = self._begin(environ, place[1], place[2] or "")
        except Exception as error:  # whatever it was, the sender is told
            return [tell(error)]
        return [tell(begun)] if isinstance(begun, Answered) else _later(begun, tell)

    def _begin(self, environ: dict[str, Any], name: str, token: str) -> Begun:
        source = self._ingest.find(name, _decoded(token))
        raw = raw_request(environ, read_body(environ, self._ingest.limits.max_body))
        return self._ingest.begin(source, raw, address_of(environ.get("REMOTE_ADDR")))


def _later(pending: Callable[[], Answered], tell: Callable[[Answered | Exception], bytes]) -> Iterator[bytes]:
    try:
        outcome: Answered | Exception = pending()
    except Exception as error:  # likewise
        outcome = error
    yield tell(outcome)


def _tell(method: str, name: str, begun: float, start_response: StartResponse, outcome: Answered | Exception) -> bytes:
    """Writes the line about it and begins the answer, whose body it returns."""
    facts: dict[str, Any] = {"method": method, "source": name if _NAME.fullmatch(name) else "?"}
    reply = _reply(outcome, facts)
    ms = round((time.perf_counter() - begun) * 1000, 1)
    log = structlog.get_logger()
    (log.info if reply.status < 400 else log.warning)("callback", **facts, status=reply.status, ms=ms)
    lengths = ("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body)))
    start_response(status_line(reply.status), [*lengths, *reply.headers])
    return b"" if method == "HEAD" else reply.body


def _reply(outcome: Answered | Exception, facts: dict[str, Any]) -> Reply:
    match outcome:
        case Answered(reply=reply, accepted=accepted):
            if accepted is not None:
                facts |= {"event_id": accepted.event_id, "new": accepted.new}
            return reply
        case Refused():
            facts["reason"] = outcome.reason
            return _refused(outcome)
        case StoreUnavailable():
            facts["reason"] = str(outcome)
            return terse(503, ("Retry-After", str(RETRY_AFTER)))
        case _:
            tell_bug(facts["method"], outcome)
            return terse(500)


def raw_request(environ: dict[str, Any], body: bytes) -> RawRequest:
    """The request as it came: the path undecoded, header names lower-case, values as latin-1 text."""
    target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "/"))
    path, _, query = target.partition("?")
    headers = tuple(_headers(environ))
    return RawRequest(method=environ["REQUEST_METHOD"], path=path, query=query, headers=headers, body=body)


def _headers(environ: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """As they were sent where the server tells (see `patient`); else as WSGI joined them."""
    sent = getattr(environ.get("wsgi.input"), "headers", None)
    if sent is not None:
        yield from ((name.lower(), value) for name, value in sent)
        return
    yield from ((key[5:].replace("_", "-").lower(), value) for key, value in environ.items() if key.startswith("HTTP_"))
    own = (("content-type", "CONTENT_TYPE"), ("content-length", "CONTENT_LENGTH"))
    yield from ((name, environ[key]) for name, key in own if environ.get(key))


@lru_cache(1024)
def address_of(remote: str | None) -> str:
    """The sender's address; an IPv4 one behind an IPv6 socket is itself again."""
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return (remote or "")[:64]  # with trusted proxies it may be whatever a sender wrote
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _decoded(text: str) -> str:
    """WSGI hands the bytes of a path as latin-1."""
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace")


def _refused(refusal: Refused) -> Reply:
    headers = [("Retry-After", str(round(refusal.after)))] if isinstance(refusal, TooManyRefusals) else []
    if refusal.status == 405:
        headers.append(("Allow", "POST"))
    if refusal.status in (400, 408, 413):
        headers.append(("Connection", "close"))
    return terse(refusal.status, *headers)

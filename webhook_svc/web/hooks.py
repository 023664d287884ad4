"""Callbacks: an HTTP request becomes a RawRequest, a Reply or a refusal becomes an HTTP answer.

The endpoint begins the work, and its response waits for the commit when a server asks for it. A server that calls for
several requests before it takes the first answer (see `patient`) lets them share one commit; to others nothing is
different.
"""

import ipaddress
import re
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Final

import structlog
from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers

from ..core.errors import Refused, StoreUnavailable, TooManyRefusals
from ..core.types import RawRequest, Reply
from ..pipeline.ingest import Answered, Begun, Ingest
from .body import read_body
from .terse import RETRY_AFTER, status_line, tell_bug, terse

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

_UNKNOWN: Final = Headers({"Content-Type": ""})
"""Of a response that is not made yet; given, so that none is guessed."""

Outcome = Answered | Exception


def hooks(ingest: Ingest) -> Blueprint:
    """`/hooks/<source>[/<token>]`, with or without a slash at the end, for whatever method a handshake needs."""
    routes = Blueprint("hooks", __name__, url_prefix="/hooks")

    def hook(source: str, token: str = "") -> Response:
        tell = partial(_tell, request.method, source, time.perf_counter())
        try:
            begun = _begin(ingest, request.environ, source, token)
        except Exception as error:  # whatever it was, the sender is told
            return _response(tell(error))
        return _response(tell(begun)) if isinstance(begun, Answered) else Waiting(begun, tell)

    for rule in ("/<source>", "/<source>/", "/<source>/<token>", "/<source>/<token>/"):
        routes.add_url_rule(rule, view_func=hook, methods=METHODS, provide_automatic_options=False)
    return routes


class Waiting(Response):
    """A response that waits for its outcome, and is made, where a server begins to iterate."""

    def __init__(self, pending: Callable[[], Answered], tell: Callable[[Outcome], Reply]) -> None:
        super().__init__(headers=_UNKNOWN)
        self._pending = pending
        self._tell = tell

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        try:
            outcome: Outcome = self._pending()
        except Exception as error:  # likewise
            outcome = error
        reply = self._tell(outcome)
        about = ("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body)))
        start_response(status_line(reply.status), [*about, *reply.headers])
        yield b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body


def _begin(ingest: Ingest, environ: dict[str, Any], name: str, token: str) -> Begun:
    source = ingest.find(name, token)
    raw = raw_request(environ, read_body(environ, ingest.limits.max_body))
    return ingest.begin(source, raw, address_of(environ.get("REMOTE_ADDR")), peer=peer_of(environ))


def _tell(method: str, name: str, begun: float, outcome: Outcome) -> Reply:
    """What the sender is told, and the line about it."""
    facts: dict[str, Any] = {"method": method, "source": name if _NAME.fullmatch(name) else "?"}
    reply = _reply(outcome, facts)
    ms = round((time.perf_counter() - begun) * 1000, 1)
    log = structlog.get_logger()
    (log.info if reply.status < 400 else log.warning)("callback", **facts, status=reply.status, ms=ms)
    return reply


def _response(reply: Reply) -> Response:
    response = Response(reply.body, status_line(reply.status), content_type=reply.content_type)
    response.headers.extend(list(reply.headers))
    return response


def _reply(outcome: Outcome, facts: dict[str, Any]) -> Reply:
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


def peer_of(environ: dict[str, Any]) -> str:
    """Who holds the other end of the connection, whatever headers say."""
    as_it_came = environ.get("werkzeug.proxy_fix.orig", environ)
    return address_of(as_it_came.get("REMOTE_ADDR"))


def _refused(refusal: Refused) -> Reply:
    headers = [("Retry-After", str(round(refusal.after)))] if isinstance(refusal, TooManyRefusals) else []
    if refusal.status == 405:
        headers.append(("Allow", "POST"))
    if refusal.status in (400, 408, 413):
        headers.append(("Connection", "close"))
    return terse(refusal.status, *headers)

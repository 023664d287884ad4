"""Callbacks: an HTTP request becomes a RawRequest, a Reply or a refusal becomes an HTTP answer."""

import ipaddress
import re
import time
from collections.abc import Iterator
from typing import Any

import structlog
from flask import Blueprint, Response, request

from ..core.errors import Refused, StoreUnavailable, TooManyRefusals
from ..core.types import RawRequest
from ..pipeline.ingest import Answered, Ingest
from .body import read_body
from .terse import CONTENT_TYPE, RETRY_AFTER, words

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def hooks(ingest: Ingest) -> Blueprint:
    """`/hooks/<source>[/<token>]`, with or without a slash at the end, for whatever method a handshake needs."""
    routes = Blueprint("hooks", __name__, url_prefix="/hooks")

    def hook(source: str, token: str = "") -> Response:
        started = time.perf_counter()
        facts: dict[str, Any] = {"method": request.method, "source": source if _NAME.fullmatch(source) else "?"}
        response = _answer(ingest, source, token, facts)
        ms = round((time.perf_counter() - started) * 1000, 1)
        log = structlog.get_logger().bind(**facts, status=response.status_code, ms=ms)
        (log.info if response.status_code < 400 else log.warning)("callback")
        return response

    for rule in ("/<source>", "/<source>/", "/<source>/<token>", "/<source>/<token>/"):
        routes.add_url_rule(rule, view_func=hook, methods=METHODS, provide_automatic_options=False)
    return routes


def _answer(ingest: Ingest, name: str, token: str, facts: dict[str, Any]) -> Response:
    try:
        source = ingest.find(name, token)
        raw = raw_request(request.environ, read_body(request.environ, ingest.limits.max_body))
        answered = ingest.receive(source, raw, address_of(request.remote_addr))
    except Refused as refusal:
        facts["reason"] = refusal.reason
        return _refused(refusal)
    except StoreUnavailable as error:
        facts["reason"] = str(error)
        return _terse(503, {"Retry-After": str(RETRY_AFTER)})
    return _reply(answered, facts)


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


def address_of(remote: str | None) -> str:
    """The sender's address; an IPv4 one behind an IPv6 socket is itself again."""
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return (remote or "")[:64]  # with trusted proxies it may be whatever a sender wrote
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _reply(answered: Answered, facts: dict[str, Any]) -> Response:
    if answered.accepted is not None:
        facts |= {"event_id": answered.accepted.event_id, "new": answered.accepted.new}
    reply = answered.reply
    response = Response(reply.body, reply.status, content_type=reply.content_type)
    response.headers.extend(list(reply.headers))
    return response


def _refused(refusal: Refused) -> Response:
    headers = {"Retry-After": str(round(refusal.after))} if isinstance(refusal, TooManyRefusals) else {}
    if refusal.status == 405:
        headers["Allow"] = "POST"
    if refusal.status in (400, 408, 413):
        headers["Connection"] = "close"
    return _terse(refusal.status, headers)


def _terse(status: int, headers: dict[str, str]) -> Response:
    return Response(words(status), status, headers, content_type=CONTENT_TYPE)

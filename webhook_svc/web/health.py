"""Is the process alive, can it accept, what version is it, how is the work: for machines that watch."""

import hmac
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from flask import Blueprint, Response, jsonify, request

from .. import __version__
from ..core.errors import StoreUnavailable
from ..core.settings import Secret
from .hooks import address_of

Gauges = Callable[[], Mapping[tuple[str, tuple[tuple[str, str], ...]], float]]
"""Numbers by name and labels, read from the database at the moment of asking."""

READY_FOR = 1.0
ASKED_FOR = 2.0
"""Seconds that anybody waits for the store's answer: one that hangs must not take a thread for every look."""

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the health routes ask. `ready` returns "" or the reason why nothing can be accepted, `unserved` the lanes
    in which work waits and which no worker serves, with the seconds it has been due."""

    ready: Callable[[], str]
    gauges: Gauges
    unserved: Callable[[], Mapping[str, float]] = dict
    admin_token: Secret | None = None
    proxies: int = 0


def health(watched: Watched) -> Blueprint:
    routes = Blueprint("health", __name__)
    ready = _Cached(lambda: _look(watched))

    @routes.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", content_type="text/plain")

    @routes.get("/readyz")
    def readyz() -> Response:
        """Work that nobody serves is said and refuses nothing: a deploy may start its worker last."""
        found = ready()
        if found.reason:
            return problem(503, "not ready", found.reason)
        return jsonify(status="ready", lanes_unserved={name: round(since) for name, since in found.unserved.items()})

    @routes.get("/version")
    def version() -> Response:
        return _allowed(watched) or jsonify(version=__version__)

    @routes.get("/metrics")
    def metrics() -> Response:
        return _allowed(watched) or _metrics(watched.gauges)

    return routes


def problem(status: int, title: str, detail: str = "") -> Response:
    """RFC 9457: an error as JSON."""
    response = jsonify({"type": "about:blank", "status": status, "title": title, "detail": detail})
    response.status_code = status
    response.content_type = "application/problem+json"
    return response


@dataclass(frozen=True, slots=True)
class _Readiness:
    """`reason` is "" where callbacks can be accepted."""

    reason: str
    unserved: Mapping[str, float] = field(default_factory=dict)


def _look(watched: Watched) -> _Readiness:
    reason = watched.ready()
    try:
        return _Readiness(reason, {} if reason else watched.unserved())
    except StoreUnavailable as error:
        return _Readiness(str(error))


class _Cached:
    """Asks at most once a second, however many watch; a store that hangs takes one thread in all."""

    def __init__(self, ask: Callable[[], _Readiness]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer = (_Readiness(""), -READY_FOR)
        self._asking: Future[_Readiness] | None = None

    def __call__(self) -> _Readiness:
        with self._lock:
            answer, at = self._answer
            if time.monotonic() - at < READY_FOR:
                return answer
            asking = self._asking or self._begin()
        try:
            return asking.result(ASKED_FOR)
        except TimeoutError:
            return _Readiness("the store does not answer")

    def _begin(self) -> "Future[_Readiness]":
        asking = self._asking = Future()
        threading.Thread(target=self._run, args=(asking,), name="ready", daemon=True).start()
        return asking

    def _run(self, asking: "Future[_Readiness]") -> None:
        try:
            answer = self._ask()
        except BaseException as error:  # whoever waits for it is to know
            self._asking = None
            asking.set_exception(error)
        else:
            self._answer, self._asking = (answer, time.monotonic()), None
            asking.set_result(answer)


def _allowed(watched: Watched) -> Response | None:
    """None for a bearer of the admin token; where none is set, for who speaks to us from this machine directly.

    A forwarded address is no proof of that: whoever gets around the proxy can write one.
    """
    if watched.admin_token is not None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = watched.admin_token.reveal().encode()
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "replace"), token):
            return None
        refused = problem(401, "the admin token is needed")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    forwarded = any(name in request.headers for name in FORWARDED)
    if address_of(request.remote_addr) in ("127.0.0.1", "::1") and not forwarded:
        return None
    return problem(403, "forbidden", "set ADMIN_TOKEN to use this from elsewhere")


def _metrics(gauges: Gauges) -> Response:
    """Prometheus' text format."""
    try:
        numbers = gauges()
    except StoreUnavailable as error:
        return problem(503, "the store is away", str(error))
    lines = []
    for name in sorted({name for name, _ in numbers}):
        lines.append(f"# TYPE webhook_svc_{name} gauge")
        for (other, labels), number in sorted(numbers.items()):
            if other == name:
                inner = ",".join(f'{key}="{value}"' for key, value in labels)
                lines.append(f"webhook_svc_{name}{f'{{{inner}}}' if inner else ''} {number:g}")
    return Response("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")

"""From a request to a promise: who is meant, is it genuine, is it new; then on disk, then the answer."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

import structlog

from ..core.errors import (
    BodyTooLarge,
    EncodedBody,
    NotGenuine,
    Refused,
    StoreUnavailable,
    TooManyRefusals,
    UnknownSource,
    WrongMethod,
)
from ..core.ids import digest, fingerprint, new_id
from ..core.masks import without
from ..core.ports import Clock
from ..core.settings import Secret
from ..core.store import Pending, Store
from ..core.types import RawRequest, Reply
from ..core.work import Accepted, NewEvent, RefusedCallback
from .parties import Network, Source
from .throttle import Throttle

EVENT_HEADER = "Webhook-Event"
REFUSED_PER_ADDRESS = 60
HINTS_PER_SOURCE = 600
LARGEST_REFUSED = 256 * 1024
"""Bytes of the body that a refused callback is kept with; of a larger one the headers are kept."""
PATIENCE = 0.75
"""The share of a sender's deadline that the store may take; the rest is the way there and back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestLimits:
    """`accept_timeout` in seconds, less where a sender gives up sooner; `keep_refused` is how many per source;
    `max_body` in bytes."""

    accept_timeout: float = 4.0
    keep_refused: int = 20
    max_body: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The reply, and what was accepted (None for a handshake)."""

    reply: Reply
    accepted: Accepted | None = None


Begun = Answered | Callable[[], Answered]


class Ingest:
    """Answers callbacks. A 2xx leaves only after the event is committed."""

    def __init__(self, sources: Mapping[str, Source], store: Store, clock: Clock, limits: IngestLimits) -> None:
        self.sources = sources
        self.limits = limits
        self._store = store
        self._clock = clock
        self._refusals = Throttle(REFUSED_PER_ADDRESS)
        self._hints = Throttle(HINTS_PER_SOURCE)

    def find(self, name: str, token: str) -> Source:
        """The source, where the URL token is right. Both mistakes look the same from outside."""
        source = self.sources.get(name)
        if source is None:
            raise UnknownSource("unknown_source")
        if not _token_fits(source.tokens, token):
            raise UnknownSource("wrong_url_token")
        return source

    def receive(self, source: Source, request: RawRequest, address: str, *, peer: str = "") -> Answered:
        """The answer to a callback. Raises Refused or StoreUnavailable; the caller turns them into a status."""
        begun = self.begin(source, request, address, peer=peer)
        return begun if isinstance(begun, Answered) else begun()

    def begin(self, source: Source, request: RawRequest, address: str, *, peer: str = "") -> Begun:
        """Judges the callback and hands it to the store, without waiting: the answer, where it is known already, else
        what waits for the commit and ends like `receive`. Whoever has several begins them all before it waits.

        `address` is the sender's, `peer` that of the connection itself: the last proxy's, where there is one.
        """
        try:
            _check_peer(source, peer)
            _check_address(source, address)
            return self._begin(source, request)
        except Refused as refusal:
            return self._refuse(source, request, address, refusal)

    def _begin(self, source: Source, request: RawRequest) -> Begun:
        now = self._clock()
        challenge = handshake(source, request, now)
        if challenge is not None:
            return Answered(reply=challenge)
        event = judge(source, request, now, self.limits.max_body)
        if event.hint and not self._hints.allows(source.name, now):
            raise TooManyRefusals("too_many_hints")
        patience = min(self.limits.accept_timeout, PATIENCE * source.provider.deadline)
        pending = self._store.accepting(event, patience)

        def answer() -> Answered:
            accepted = pending.wait()
            reply = source.provider.acknowledge(request)
            named = replace(reply, headers=(*reply.headers, (EVENT_HEADER, accepted.event_id)))
            return Answered(reply=named, accepted=accepted)

        return answer

    def _refuse(self, source: Source, request: RawRequest, address: str, refusal: Refused) -> Begun:
        kept = self._keep(source, request, address, refusal)
        if not self._refusals.allows(address, self._clock()):
            refusal = TooManyRefusals("too_many_refused")
        if kept is None:
            raise refusal

        def answer() -> Answered:
            _wait_for(kept, source)
            raise refusal

        return answer

    def _keep(self, source: Source, request: RawRequest, address: str, refusal: Refused) -> Pending[None] | None:
        """Refused callbacks are kept, masked, as far as the address behaves: a flood must not wear the disk."""
        unkept = isinstance(refusal, TooManyRefusals | WrongMethod)
        if unkept or not self._refusals.allows(f"kept {address}", self._clock()):
            return None
        refused = RefusedCallback(
            source=source.name,
            status=refusal.status,
            reason=refusal.reason,
            address=address,
            request=masked(source, _small(request)),
        )
        return self._store.refusing(refused, self.limits.keep_refused, self.limits.accept_timeout)


def _small(request: RawRequest) -> RawRequest:
    """Without a body that is large: to mask it takes time, and whoever was refused may be anybody."""
    return request if len(request.body) <= LARGEST_REFUSED else replace(request, body=b"")


def _wait_for(kept: Pending[None], source: Source) -> None:
    """A store that cannot take it changes nothing of the refusal."""
    try:
        kept.wait()
    except StoreUnavailable as error:
        structlog.get_logger().warning("refused.not_kept", source=source.name, detail=str(error))


def handshake(source: Source, request: RawRequest, now: float) -> Reply | None:
    """The answer to a handshake, None where it is a callback. Raises NotGenuine. Pure."""
    reply = source.provider.challenge(request)
    if reply is not None and source.provider.proves_handshakes():
        source.scheme.verify(request, now)
    return reply


def judge(source: Source, request: RawRequest, now: float, max_body: int) -> NewEvent:
    """The event that a genuine callback becomes. Raises Refused. Pure but for the new id."""
    if request.method != "POST":
        raise WrongMethod("wrong_method")
    if len(request.body) > max_body:
        raise BodyTooLarge("body_too_large")
    if {value.strip().lower() for value in request.header_all("content-encoding")} - {"", "identity"}:
        raise EncodedBody("encoded_body")
    verified_by = source.scheme.verify(request, now)
    delivery_id = source.provider.delivery_id(request)
    return NewEvent(
        id=new_id("evt", now),
        key=digest("event", source.name, delivery_id, hashlib.sha256(request.body).digest()),
        source=source.name,
        delivery_id=delivery_id,
        verified_by=verified_by,
        hint=source.hint,
        request=masked(source, request),
    )


def masked(source: Source, request: RawRequest) -> RawRequest:
    """The request as it may be stored: what served as a secret is a fingerprint, the URL token too, also where a proxy
    or the sender repeats it."""
    clean = without(source.scheme.mask(request), source.tokens)
    base = f"/hooks/{source.name}"
    token = clean.path.removeprefix(base).strip("/")
    return replace(clean, path=f"{base}/{fingerprint(token)}") if token else clean


def _check_address(source: Source, address: str) -> None:
    """An address list is no proof, but it keeps strangers from trying. Behind proxies that are not declared in
    `[service] proxies` every address is the proxy's."""
    if source.networks and not _is_in(address, source.networks):
        raise NotGenuine("strange_address", f"{address} is not in this source's addresses")


def _check_peer(source: Source, peer: str) -> None:
    """What a trusted proxy tells in its headers, anybody can write who gets around it."""
    if source.proxies and not _is_in(peer, source.proxies):
        raise NotGenuine("strange_proxy", f"{peer or 'an unknown address'} is not one of this source's proxies")


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:
        return False


def _token_fits(tokens: tuple[Secret, ...], token: str) -> bool:
    """Digests are compared, so that not even the length of a token shows in the time it takes."""
    if not tokens:
        return token == ""
    given = digest(token)
    return any(hmac.compare_digest(digest(secret.reveal()), given) for secret in tokens)

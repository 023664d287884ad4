"""What the stages read of their subject."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..core.errors import Permanent
from ..core.types import Job, Part
from ..core.work import DeliveryRow, EventRow, PartRow, Sent, SigningRow
from .codec import contents, load_bundle, load_ref, load_request
from .prepared import Prepared, PreparedEach, Row, given, moment
from .tables import delivery, event, job, part, payload, signing, signing_event

SMALL = 64 * 1024
"""Bytes of a body up to which it is read with many others at once."""

_EVENT_COLUMNS = (
    event.c.id,
    event.c.source,
    event.c.state,
    event.c.hint,
    event.c.received,
    event.c.origin,
    payload.c.request,
    payload.c.body,
)
_EVENTS = sa.select(*_EVENT_COLUMNS).join(payload, payload.c.event_id == event.c.id)
_EVENT = Prepared(_EVENTS.where(event.c.id == given("which")))
_SMALL_EVENTS = PreparedEach(
    {"which": event.c.id}, lambda row, _: _EVENTS.where(event.c.id == row.which, event.c.size <= SMALL)
)
_SPOKEN = Prepared(
    sa.select(signing_event.c.event_id)
    .join(payload, payload.c.event_id == signing_event.c.event_id)
    .where(signing_event.c.signing_id == given("which"))
    .order_by(signing_event.c.event_id.desc())
    .limit(100)
)
_SIGNING = Prepared(sa.select(signing).where(signing.c.id == given("which")))
_SENT = Prepared(
    sa.select(delivery.c.sink, delivery.c.state, delivery.c.bundle).where(
        delivery.c.signing_id == given("which"), delivery.c.version == given("of_version")
    )
)
_PARTS = Prepared(
    sa.select(part)
    .where(part.c.signing_id == given("which"), part.c.version == given("of_version"))
    .order_by(part.c.position)
)
_DELIVERY = Prepared(
    sa.select(delivery, signing.c.ref)
    .join(signing, signing.c.id == delivery.c.signing_id)
    .where(delivery.c.id == given("which"))
)
_HELD = Prepared(
    lambda dialect: sa.select(job.c.id).where(
        job.c.id == given("which"),
        job.c.claim == given("number"),
        job.c.state == "running",
        job.c.lease_until > moment("at", dialect),
    )
)


def read_event(driver: Any, event_id: str) -> EventRow:
    row = _EVENT.first(driver, which=event_id)
    if row is None:
        raise Permanent("the bytes of this event are no longer kept")
    return _as_event(row)


def read_small_events(driver: Any, event_ids: Sequence[str]) -> dict[str, EventRow]:
    """By id. Those with a large body are left out, and so are those whose bytes are no longer kept."""
    rows = _SMALL_EVENTS.all(driver, [{"which": one} for one in event_ids])
    return {row.id: _as_event(row) for row in rows}


def read_spoken(driver: Any, signing_id: str) -> list[str]:
    return [row.event_id for row in _SPOKEN.all(driver, which=signing_id)]


def read_signing(driver: Any, signing_id: str) -> SigningRow:
    row = _SIGNING.one(driver, which=signing_id)
    return SigningRow(
        id=row.id,
        source=row.source,
        ref=load_ref(row.ref),
        state=row.state,
        wanted=row.wanted,
        fetched=row.fetched,
        change=row.change,
        version=row.version,
        released=row.released,
        created=row.created,
        parts=_parts(driver, signing_id, row.version),
        supplements=row.supplements,
        sent=_sent(driver, signing_id, row.version) if row.version else (),
    )


def read_delivery(driver: Any, delivery_id: str) -> DeliveryRow:
    row = _DELIVERY.one(driver, which=delivery_id)
    return DeliveryRow(
        id=row.id,
        signing_id=row.signing_id,
        source=row.source,
        sink=row.sink,
        ref=load_ref(row.ref),
        version=row.version,
        supplement=row.supplement,
        state=row.state,
        progress=json.loads(row.progress),
        **load_bundle(row.bundle),
    )


def holds(driver: Any, claimed: Job, now: float | None) -> bool:
    return _HELD.first(driver, which=claimed.id, number=claimed.claim, at=now) is not None


def needed(connection: Connection, hashes: Collection[str], since: float) -> dict[str, bool]:
    """A signing is done with its bytes once nothing of it is on its way, waits for a person or was touched since."""
    open_ = sa.exists().where(
        delivery.c.signing_id == signing.c.id, sa.or_(delivery.c.state != "delivered", delivery.c.done >= since)
    )
    live = sa.or_(signing.c.state.in_(("fetching", "dead", "held")), signing.c.updated >= since, open_)
    query = (
        sa.select(part.c.sha256, sa.func.max(sa.case((live, 1), else_=0)))
        .join(signing, signing.c.id == part.c.signing_id)
        .where(part.c.sha256.in_([bytes.fromhex(one) for one in hashes]))
        .group_by(part.c.sha256)
    )
    return {bytes(sha256).hex(): bool(alive) for sha256, alive in connection.execute(query)}


def _as_event(row: Row) -> EventRow:
    return EventRow(
        id=row.id,
        source=row.source,
        state=row.state,
        hint=row.hint,
        received=row.received,
        request=load_request(row.request, bytes(row.body)),
        listed=load_ref(bytes(row.body).decode()) if row.origin == "listed" else None,
    )


def _sent(driver: Any, signing_id: str, version: int) -> tuple[Sent, ...]:
    return tuple(
        Sent(sink=row.sink, waiting=row.state == "waiting", contents=contents(row.bundle))
        for row in _SENT.all(driver, which=signing_id, of_version=version)
    )


def _parts(driver: Any, signing_id: str, version: int) -> tuple[PartRow, ...]:
    return tuple(
        PartRow(
            part=Part(
                kind=row.kind,
                name=row.name,
                sha256=bytes(row.sha256).hex(),
                size=row.size,
                content_type=row.content_type,
            ),
            version=row.version,
            supplement=row.supplement,
        )
        for row in _PARTS.all(driver, which=signing_id, of_version=version)
    )

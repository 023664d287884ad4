"""What the stages read of their subject."""

import json
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import Connection

from ..core.errors import Permanent
from ..core.types import Job, Part
from ..core.work import DeliveryRow, EventRow, PartRow, SigningRow
from .codec import load_bundle, load_ref, load_request
from .tables import delivery, event, job, part, payload, signing


def read_event(connection: Connection, event_id: str) -> EventRow:
    columns = (event.c.id, event.c.source, event.c.state, event.c.hint, event.c.received, event.c.origin)
    query = (
        sa.select(*columns, payload.c.request, payload.c.body)
        .join(payload, payload.c.event_id == event.c.id)
        .where(event.c.id == event_id)
    )
    row = connection.execute(query).first()
    if row is None:
        raise Permanent("the bytes of this event are no longer kept")
    return EventRow(
        id=row.id,
        source=row.source,
        state=row.state,
        hint=row.hint,
        received=row.received,
        request=load_request(row.request, bytes(row.body)),
        listed=load_ref(bytes(row.body).decode()) if row.origin == "listed" else None,
    )


def read_signing(connection: Connection, signing_id: str) -> SigningRow:
    row = connection.execute(sa.select(signing).where(signing.c.id == signing_id)).one()
    undelivered = sa.select(sa.func.count()).where(
        delivery.c.signing_id == signing_id, delivery.c.state == "waiting", delivery.c.version == row.version
    )
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
        parts=_parts(connection, signing_id, row.version),
        supplements=row.supplements,
        undelivered=connection.execute(undelivered).scalar_one(),
    )


def read_delivery(connection: Connection, delivery_id: str) -> DeliveryRow:
    query = (
        sa.select(delivery, signing.c.ref)
        .join(signing, signing.c.id == delivery.c.signing_id)
        .where(delivery.c.id == delivery_id)
    )
    row = connection.execute(query).one()
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


def holds(connection: Connection, claimed: Job, now: float) -> bool:
    ours = job.c.id == claimed.id, job.c.claim == claimed.claim, job.c.state == "running", job.c.lease_until > now
    return connection.execute(sa.select(job.c.id).where(*ours)).first() is not None


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


def _parts(connection: Connection, signing_id: str, version: int) -> tuple[PartRow, ...]:
    query = sa.select(part).where(part.c.signing_id == signing_id, part.c.version == version).order_by(part.c.position)
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
        for row in connection.execute(query)
    )

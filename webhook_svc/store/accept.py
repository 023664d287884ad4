"""Taking callbacks in: the event, its bytes and its parse job in one transaction; a duplicate is told by its key."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..core.ids import new_id, storable
from ..core.types import RawRequest, Stage, source_lane
from ..core.work import Accepted, NewEvent, RefusedCallback
from .codec import dump_request
from .engine import Tx
from .jobs import insert_jobs
from .prepared import PreparedEach, inserting
from .tables import event, job, payload, refused, signing, signing_event

REQUEUE_INTERVAL = 60.0
"""Seconds between two runs of the parse of an event that came to nothing, however many copies of it arrive."""

_EVENTS = inserting(
    event,
    *("id", "key", "source", "state", "delivery_id", "verified_by", "hint", "size", "received", "queued"),
    unless=("key",),
)
_IDS = PreparedEach(
    {"key": event.c.key}, lambda row, _: sa.select(event.c.key, event.c.id).where(event.c.key == row.key)
)
_PAYLOADS = inserting(payload, "event_id", "request", "body", "received", unless=("event_id",))

_BODY_KEPT = 64 * 1024
_HEADERS_KEPT, _TEXT_KEPT = 100, 4096


def accept(tx: Tx, items: Sequence[NewEvent]) -> list[Accepted]:
    """Sorted by key, so that two processes insert in the same order; one INSERT for the whole batch."""
    fresh: dict[bytes, NewEvent] = {}
    for item in items:
        fresh.setdefault(item.key, item)
    ordered = [fresh[key] for key in sorted(fresh)]
    known = _insert_events(tx, ordered)
    new = [item for item in ordered if known[item.key] == item.id]
    if new:
        _PAYLOADS.run(tx.driver, [_payload_row(tx, item.id, item) for item in new])
        insert_jobs(tx, Stage.PARSE, [(source_lane(item.source), item.id) for item in new])
    if len(new) < len(items):
        for copy in sorted(items, key=lambda item: item.key):
            if copy.id != known[copy.key]:
                _count_copy(tx, known[copy.key], copy)
    return [Accepted(event_id=known[item.key], new=item.id == known[item.key]) for item in items]


def on_conflict_nothing(tx: Tx, table: sa.Table, *columns: str) -> "sqlite.Insert | postgresql.Insert":
    insert = postgresql.insert(table) if tx.connection.dialect.name == "postgresql" else sqlite.insert(table)
    return insert.on_conflict_do_nothing(index_elements=columns)


def keep_refused(tx: Tx, items: Sequence[tuple[RefusedCallback, int]]) -> list[None]:
    for item, keep in items:
        tx.connection.execute(
            refused.insert(),
            {
                "id": new_id("ref", tx.now),
                "source": item.source,
                "at": tx.now,
                "status": item.status,
                "reason": storable(item.reason, 200),
                "address": storable(item.address, 64),
                "request": dump_request(_shortened(item.request)),
                "body": item.request.body[:_BODY_KEPT],
            },
        )
        newest = sa.select(refused.c.id).where(refused.c.source == item.source).order_by(refused.c.id.desc())
        oldest = tx.connection.execute(newest.offset(keep).limit(1)).scalar()
        if oldest is not None:
            tx.connection.execute(refused.delete().where(refused.c.source == item.source, refused.c.id <= oldest))
    return [None] * len(items)


def _shortened(request: RawRequest) -> RawRequest:
    """What anybody may send us is kept only as far as it helps to find out why it was refused."""
    headers = tuple((name[:200], value[:_TEXT_KEPT]) for name, value in request.headers[:_HEADERS_KEPT])
    return replace(request, path=request.path[:_TEXT_KEPT], query=request.query[:_TEXT_KEPT], headers=headers)


def _insert_events(tx: Tx, items: Sequence[NewEvent]) -> dict[bytes, str]:
    """The ids under which they stand, by key: their own, or those of earlier copies."""
    rows = [
        {
            "id": item.id,
            "key": item.key,
            "source": item.source,
            "state": "accepted",
            "delivery_id": storable(item.delivery_id, 200),
            "verified_by": item.verified_by,
            "hint": item.hint,
            "size": len(item.request.body),
            "received": tx.now,
            "queued": tx.now,
        }
        for item in items
    ]
    if _EVENTS.run(tx.driver, rows) == len(items):
        return {item.key: item.id for item in items}
    return {bytes(row.key): row.id for row in _IDS.all(tx.driver, [{"key": item.key} for item in items])}


def _payload_row(tx: Tx, event_id: str, item: NewEvent) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "request": dump_request(item.request),
        "body": item.request.body,
        "received": tx.now,
    }


def _count_copy(tx: Tx, event_id: str, copy: NewEvent) -> None:
    """A copy adds nothing, but where the first came to nothing, its parse runs again (at most once a minute):
    a forged or early copy never silences the genuine one. The copy's bytes serve where they are no longer kept."""
    tx.connection.execute(event.update().where(event.c.id == event_id).values(copies=event.c.copies + 1))
    _recall(tx, event_id)
    asked = sa.select(event.c.queued).where(event.c.id == event_id, _may_come_to_more(tx.now))
    last = tx.connection.execute(asked).scalar()
    if last is not None:
        due = max(tx.now, last + REQUEUE_INTERVAL)
        tx.connection.execute(event.update().where(event.c.id == event_id).values(state="accepted", queued=due))
        _PAYLOADS.run(tx.driver, [_payload_row(tx, event_id, copy)])
        insert_jobs(tx, Stage.PARSE, [(source_lane(copy.source), event_id)], delay=due - tx.now)


def _recall(tx: Tx, event_id: str) -> None:
    """A fetch of this event that runs just now may have asked too early. Told before it is looked whether the signing
    was given up, so that of a settlement at this very moment one of the two takes notice."""
    mine = sa.select(signing_event.c.signing_id).where(signing_event.c.event_id == event_id)
    runs = job.c.stage == Stage.FETCH.value, job.c.state == "running", job.c.ref.in_(mine)
    tx.connection.execute(job.update().where(*runs).values(recalled=True))


def _may_come_to_more(now: float) -> sa.ColumnElement[bool]:
    """A signing that was given up needs to be asked for again, be it in a minute. The other cases need no such delay:
    so soon the same bytes are read the same way, and a fetch that waits looks again by itself."""
    long_ago, parsed = event.c.queued <= now - REQUEUE_INTERVAL, event.c.state == "parsed"
    nothing = signing.c.version == 0
    given_up = _has_signing(sa.or_(signing.c.state == "dead", sa.and_(signing.c.state == "complete", nothing)))
    waits = _has_signing(sa.and_(signing.c.state == "fetching", nothing))
    misread = event.c.state.in_(("ignored", "dead"))
    return sa.or_(sa.and_(parsed, given_up), sa.and_(long_ago, sa.or_(misread, sa.and_(parsed, waits))))


def _has_signing(which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """A signing of this event is such a one (see `signings.want`)."""
    its = signing_event.c.event_id == event.c.id, signing.c.id == signing_event.c.signing_id
    return sa.exists().where(*its).where(which)

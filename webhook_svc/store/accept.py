"""Taking callbacks in: the event, its bytes and its parse job in one transaction; a duplicate is told by its key."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..core.ids import new_id, storable
from ..core.types import Stage, source_lane
from ..core.work import Accepted, NewEvent, RefusedCallback
from .codec import dump_request
from .engine import Tx
from .tables import event, job, payload, refused

REQUEUE_INTERVAL = 60.0
"""Seconds before another copy of an event that came to nothing queues its parse again."""

_BODY_KEPT = 64 * 1024


def accept(tx: Tx, items: Sequence[NewEvent]) -> list[Accepted]:
    """Sorted by key, so that two processes insert in the same order; one INSERT for the whole batch."""
    fresh = {item.key: item for item in sorted(items, key=lambda item: item.key, reverse=True)}
    ordered = [fresh[key] for key in sorted(fresh)]
    inserted = _insert_events(tx, ordered)
    new = [item for item in ordered if item.key in inserted]
    if new:
        _insert_payloads(tx, new)
        insert_jobs(tx, Stage.PARSE, [(source_lane(item.source), item.id) for item in new])
    known = dict(inserted)
    results = []
    for item in items:
        first = inserted.get(item.key) == item.id
        if not first and item.key not in known:
            known[item.key] = _id_of(tx, item.key)
        if not first:
            _count_copy(tx, known[item.key], item.source)
        results.append(Accepted(event_id=known[item.key], new=first))
    return results


def insert_jobs(tx: Tx, stage: Stage, places: Sequence[tuple[str, str]]) -> None:
    """A waiting job for each (lane, ref); one that is there already stays as it is."""
    rows = [
        {
            "id": new_id("job", tx.now),
            "lane": lane,
            "stage": stage.value,
            "ref": ref,
            "state": "waiting",
            "run_at": tx.now,
            "created": tx.now,
        }
        for lane, ref in places
    ]
    tx.connection.execute(on_conflict_nothing(tx, job, "stage", "ref"), rows)
    tx.made_work = True


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
                "request": dump_request(item.request)[: _BODY_KEPT * 2],
                "body": item.request.body[:_BODY_KEPT],
            },
        )
        newest = sa.select(refused.c.id).where(refused.c.source == item.source).order_by(refused.c.id.desc())
        oldest = tx.connection.execute(newest.offset(keep).limit(1)).scalar()
        if oldest is not None:
            tx.connection.execute(refused.delete().where(refused.c.source == item.source, refused.c.id <= oldest))
    return [None] * len(items)


def _insert_events(tx: Tx, items: Sequence[NewEvent]) -> dict[bytes, str]:
    statement = on_conflict_nothing(tx, event, "key").returning(event.c.key, event.c.id)
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
    return {bytes(row.key): row.id for row in tx.connection.execute(statement, rows)}


def _insert_payloads(tx: Tx, items: Sequence[NewEvent]) -> None:
    rows = [
        {"event_id": item.id, "request": dump_request(item.request), "body": item.request.body, "received": tx.now}
        for item in items
    ]
    tx.connection.execute(payload.insert(), rows)


def _id_of(tx: Tx, key: bytes) -> str:
    return str(tx.connection.execute(sa.select(event.c.id).where(event.c.key == key)).scalar_one())


def _count_copy(tx: Tx, event_id: str, source: str) -> None:
    """A copy adds nothing, but where the first came to nothing, its parse runs again (at most once a minute):
    a forged or early copy never silences the genuine one."""
    tx.connection.execute(event.update().where(event.c.id == event_id).values(copies=event.c.copies + 1))
    came_to_nothing = sa.and_(
        event.c.id == event_id,
        event.c.state.in_(("ignored", "dead")),
        event.c.queued <= tx.now - REQUEUE_INTERVAL,
    )
    again = event.update().where(came_to_nothing).values(state="accepted", queued=tx.now)
    if tx.connection.execute(again).rowcount:
        insert_jobs(tx, Stage.PARSE, [(source_lane(source), event_id)])

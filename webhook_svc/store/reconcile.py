"""How far each provider's list was read, by whom, and the events that are made of what it holds and nobody spoke of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..core.ids import digest, new_id, storable
from ..core.outgoing import Listed
from ..core.types import DocumentRef, RawRequest, Stage, source_lane
from ..core.work import Look, Noted, Reconciled, Reconciliation
from .accept import on_conflict_nothing
from .codec import dump_ref, dump_request
from .engine import Tx
from .jobs import insert_jobs
from .lanes import paused
from .signings import round_key, signing_key
from .tables import content, event, payload, reconciliation, signing

BATCH = 500
"""Rows of a list that are stored in one transaction, so that a long one keeps no callback waiting."""

_FREE: Mapping[str, Any] = {"owner": "", "until": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class LookWish:
    source: str
    worker: str
    hold: float
    due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Some rows of a look; the look ends with the `last`."""

    done: Reconciled
    last: bool


def event_key(source: str, ref: DocumentRef) -> bytes:
    """Never that of a callback: one that arrives while the list is read is an event of its own."""
    return digest("listed", source, ref.id, ref.round)


# --- whose turn it is ---------------------------------------------------------------------------------------------


def read_all(connection: Connection, now: float) -> dict[str, Reconciliation]:
    rows = connection.execute(sa.select(reconciliation)).all()
    resting = paused(connection)
    return {
        row.source: Reconciliation(
            source=row.source,
            mark=row.mark,
            next_at=row.next_at,
            due=row.next_at <= now and row.until < now and source_lane(row.source) not in resting,
            held_by=row.owner if row.until >= now else "",
            looked=row.looked,
            note=row.note,
        )
        for row in rows
    }


def look(tx: Tx, wishes: Sequence[LookWish]) -> list[Look | None]:
    return [_look(tx, wish) for wish in wishes]


def _look(tx: Tx, wish: LookWish) -> Look | None:
    """A source that is paused is not looked at by itself: its list comes from the provider that does not answer."""
    if wish.due and source_lane(wish.source) in paused(tx.connection):
        return None
    first = {"source": wish.source, "mark": tx.now, "next_at": tx.now}
    tx.connection.execute(on_conflict_nothing(tx, reconciliation, "source"), first)
    free = reconciliation.update().where(reconciliation.c.source == wish.source, reconciliation.c.until < tx.now)
    wanted = free.where(reconciliation.c.next_at <= tx.now) if wish.due else free
    taken = wanted.values(owner=wish.worker, until=tx.now + wish.hold).returning(reconciliation.c.mark)
    mark = tx.connection.execute(taken).scalar()
    return None if mark is None else Look(source=wish.source, worker=wish.worker, mark=mark, hold=wish.hold)


def hold(tx: Tx, looks: Sequence[Look]) -> list[bool]:
    return [_changed(tx, one, until=tx.now + one.hold) for one in looks]


def _changed(tx: Tx, held: Look, **values: Any) -> bool:
    """Was it still this worker's, and so changed?"""
    ours = reconciliation.c.source == held.source, reconciliation.c.owner == held.worker
    return bool(tx.connection.execute(reconciliation.update().where(*ours).values(**values)).rowcount)


# --- what was listed ----------------------------------------------------------------------------------------------


def portions(done: Reconciled) -> Iterator[Portion]:
    batches = list(_batches(done.rows)) or [()]
    for number, rows in enumerate(batches, 1):
        yield Portion(done=replace(done, rows=rows), last=number == len(batches))


def total(parts: Sequence[Noted]) -> Noted:
    new = tuple(row for part in parts for row in part.new)
    return Noted(new=new, known=sum(part.known for part in parts), ours=parts[-1].ours)


def store(tx: Tx, items: Sequence[Portion]) -> list[Noted]:
    return [_store(tx, item) for item in items]


def unheard(connection: Connection, source: str, rows: Iterable[Listed]) -> tuple[Listed, ...]:
    found: list[Listed] = []
    for batch in _batches(rows):
        fresh = _without_signing(connection, source, batch)
        keys = {event_key(source, row.ref): row for row in fresh}
        stored = connection.execute(sa.select(event.c.key).where(event.c.key.in_(list(keys)))).scalars()
        spoken = {bytes(key) for key in stored}
        found += [row for key, row in keys.items() if key not in spoken]
    return tuple(found)


def _store(tx: Tx, portion: Portion) -> Noted:
    done = portion.done
    new = _insert(tx, done.look.source, done.rows)
    ours = _end(tx, done) if portion.last else _changed(tx, done.look, until=tx.now + done.look.hold)
    return Noted(new=new, known=len(done.rows) - len(new), ours=ours)


def _end(tx: Tx, done: Reconciled) -> bool:
    values: dict[str, Any] = {**_FREE, "note": storable(done.note)}
    if done.next_in is not None:
        values["next_at"] = tx.now + done.next_in
    if done.whole:
        values |= {"mark": max(done.look.mark, min(done.newest or 0.0, tx.now)), "looked": tx.now}
    return _changed(tx, done.look, **values)


def _insert(tx: Tx, source: str, rows: Sequence[Listed]) -> tuple[Listed, ...]:
    """Events with their bytes and their parse jobs, in the order of their keys as everybody inserts them."""
    fresh = {event_key(source, row.ref): row for row in _without_signing(tx.connection, source, rows)}
    if not fresh:
        return ()
    values = [_event_row(tx, source, key, fresh[key].ref) for key in sorted(fresh)]
    insert = on_conflict_nothing(tx, event, "key").returning(event.c.key, event.c.id)
    ids = {bytes(row.key): row.id for row in tx.connection.execute(insert, values)}
    if ids:
        bytes_kept = payload.insert().returning(payload.c.event_id)  # RETURNING makes one statement of them all
        tx.connection.execute(bytes_kept, [_payload_row(tx, ids[key], fresh[key].ref) for key in ids])
        insert_jobs(tx, Stage.PARSE, [(source_lane(source), event_id) for event_id in ids.values()])
    return tuple(row for key, row in fresh.items() if key in ids)


def _without_signing(connection: Connection, source: str, rows: Iterable[Listed]) -> list[Listed]:
    """A signing that was given up, or closed for a reason, before it had a document counts as none: who spoke of it was
    too early, or a forger, and now the provider itself says that it is complete."""
    keys = {signing_key(source, row.ref): row for row in rows}
    closed = sa.and_(signing.c.state == "complete", signing.c.reason != "")
    came_to_nothing = sa.and_(signing.c.version == 0, sa.or_(signing.c.state == "dead", closed))
    query = sa.select(signing.c.key).where(signing.c.key.in_(list(keys)), ~came_to_nothing)
    there = {bytes(key) for key in connection.execute(query).scalars()}
    return _not_fetched(connection, source, [row for key, row in keys.items() if key not in there])


def _not_fetched(connection: Connection, source: str, rows: Sequence[Listed]) -> list[Listed]:
    """Without those that another round brought, under which the callback told of them."""
    keys = {round_key(source, row.ref.id, row.ref.round): row for row in rows if row.ref.round}
    query = sa.select(content.c.key).where(content.c.key.in_(list(keys)))
    fetched = {bytes(key) for key in connection.execute(query).scalars()} if keys else set()
    known = [keys[key] for key in fetched]
    return [row for row in rows if row not in known]


def _event_row(tx: Tx, source: str, key: bytes, ref: DocumentRef) -> dict[str, Any]:
    return {
        "id": new_id("evt", tx.now),
        "key": key,
        "source": source,
        "state": "accepted",
        "type": "listed",
        "hint": False,
        "size": len(dump_ref(ref)),
        "received": tx.now,
        "queued": tx.now,
        "origin": "listed",
    }


def _payload_row(tx: Tx, event_id: str, ref: DocumentRef) -> dict[str, Any]:
    request = dump_request(RawRequest(method="", path=""))
    return {"event_id": event_id, "request": request, "body": dump_ref(ref).encode(), "received": tx.now}


def _batches(rows: Iterable[Listed]) -> Iterator[tuple[Listed, ...]]:
    source = iter(rows)
    return iter(lambda: tuple(islice(source, BATCH)), ())

"""Putting right what died or grew old: expired leases, rows past their retention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..core.types import Job
from .engine import Tx
from .jobs import COLUMNS, SUSPECT_EXPIRIES, as_job
from .lanes import forget as forget_troubles
from .serving import forget_the_dead
from .settle import bury
from .tables import attempt, event, is_state, job, lease, payload

ALONE_EXPIRIES = 3
"""A suspect is buried after this many expiries alone."""

ALONE_PAUSES = (0.0, 1.0, 6.0)
"""Leases that a suspect waits before it runs alone for the first, second and third time: whatever else kills workers
for a while shall be over by then."""

PURGE_BATCH = 1000

RHYTHM = 0.25
"""Of its hold, after which the holder of the sweep sweeps again although no lease is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOrder:
    """`keep_payloads` and `keep_attempts` are seconds; `hold` is how long a lease lasts, the sweep's and a job's."""

    worker: str
    hold: float
    keep_payloads: float
    keep_attempts: float


def is_due(connection: sa.Connection, order: SweepOrder, now: float) -> bool:
    """Is there a lease that is over, or has nobody swept for a while? A read, so that it may be asked often."""
    over = sa.select(job.c.id).where(is_state(job, "running"), job.c.lease_until < now)
    mine = sa.and_(lease.c.owner == order.worker, lease.c.until <= now + order.hold * (1 - RHYTHM))
    vacant = sa.select(lease.c.name).where(lease.c.name == "sweep", sa.or_(mine, lease.c.until < now))
    return bool(connection.execute(sa.select(sa.or_(over.exists(), vacant.exists()))).scalar())


def sweep(tx: Tx, orders: Sequence[SweepOrder]) -> list[Mapping[str, int]]:
    return [_sweep(tx, order) if take_lease(tx, "sweep", order.worker, order.hold) else {} for order in orders]


def lease_out(tx: Tx, orders: Sequence[tuple[str, str, float]]) -> list[bool]:
    return [take_lease(tx, *order) for order in orders]


def take_lease(tx: Tx, name: str, owner: str, hold: float) -> bool:
    """Is this piece of work ours for the next `hold` seconds?"""
    renewed = (
        lease.update()
        .where(lease.c.name == name, sa.or_(lease.c.owner == owner, lease.c.until < tx.now))
        .values(owner=owner, until=tx.now + hold)
    )
    return bool(tx.connection.execute(renewed).rowcount)


def _sweep(tx: Tx, order: SweepOrder) -> Mapping[str, int]:
    returned, buried = _expire(tx, order.hold)
    payloads = _purge_payloads(tx, tx.now - order.keep_payloads)
    attempts = _purge_attempts(tx, tx.now - order.keep_attempts)
    forget_troubles(tx)
    forget_the_dead(tx)
    if PURGE_BATCH in (payloads, attempts):
        take_lease(tx, "sweep", order.worker, order.hold * (1 - RHYTHM))  # there is more: the next sweep is due at once
    counts = {"returned": returned, "buried": buried, "payloads": payloads, "attempts": attempts}
    return {word: count for word, count in counts.items() if count}


def _expire(tx: Tx, hold: float) -> tuple[int, int]:
    expired = (
        sa.select(*COLUMNS, job.c.worker)
        .where(is_state(job, "running"), job.c.lease_until < tx.now)
        .order_by(job.c.lease_until)
        .limit(PURGE_BATCH)
        .with_for_update(skip_locked=True)
    )
    returned = buried = 0
    for row in tx.connection.execute(expired).all():
        lost = as_job(row)
        _note_expiry(tx, lost, row.worker)
        expiries = row.expiries + 1
        if expiries >= SUSPECT_EXPIRIES + ALONE_EXPIRIES:
            reason = f"its worker died or hung {expiries} times while running it, {ALONE_EXPIRIES} times alone"
            bury(tx, lost, reason, held=False)
            buried += 1
        else:
            state, pause = "waiting", 0.0
            if expiries >= SUSPECT_EXPIRIES:
                state, pause = "suspect", ALONE_PAUSES[expiries - SUSPECT_EXPIRIES] * hold
            values = {"state": state, "lease_until": None, "run_at": tx.now + pause, "expiries": expiries}
            tx.connection.execute(job.update().where(job.c.id == lost.id).values(values))
            returned += 1
            tx.made_work = True
    return returned, buried


def _note_expiry(tx: Tx, lost: Job, worker: str) -> None:
    row = {
        "stage": lost.stage.value,
        "ref": lost.ref,
        "claim": lost.claim,
        "worker": worker,
        "started": lost.lease_until,
        "ended": tx.now,
        "outcome": "expired",
        "error": "LeaseExpired",
        "message": "the worker did not renew its lease",
    }
    tx.connection.execute(attempt.insert(), row)


def _purge_payloads(tx: Tx, before: float) -> int:
    """Bytes of events that are settled; one that is dead keeps its bytes, for it can be replayed."""
    settled = sa.exists().where(event.c.id == payload.c.event_id, event.c.state.in_(("parsed", "ignored")))
    return _purge(tx, payload.c.event_id, payload.c.received, before, settled)


def _purge_attempts(tx: Tx, before: float) -> int:
    return _purge(tx, attempt.c.id, attempt.c.ended, before)


def _purge(tx: Tx, key: sa.Column[Any], age: sa.Column[float], before: float, *which: sa.ColumnElement[bool]) -> int:
    """The oldest first, and by name and age: told less, Postgres reads the whole table."""
    old = sa.select(key, age).where(age < before, *which).order_by(age).limit(PURGE_BATCH)
    rows = tx.connection.execute(old).all()
    if rows:
        names = [row[0] for row in rows]
        tx.connection.execute(key.table.delete().where(age <= rows[-1][1], key.in_(names)))
    return len(rows)

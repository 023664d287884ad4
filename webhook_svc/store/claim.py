"""Who works on what: claims, leases, and what becomes of a claim whose worker died."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ..core.types import Job, Stage
from ..core.work import Claims, Wish
from .engine import Tx
from .tables import job

COLUMNS = (
    job.c.id,
    job.c.lane,
    job.c.stage,
    job.c.ref,
    job.c.claim,
    job.c.tries,
    job.c.waits,
    job.c.created,
    job.c.lease_until,
    job.c.expiries,
)


def claim(tx: Tx, wishes: Sequence[Wish]) -> list[Claims]:
    return [_claim(tx, wish) for wish in wishes]


def is_due(connection: sa.Connection, wish: Wish, now: float) -> bool:
    """Is there anything this worker could take? A read, so that an idle worker never writes."""
    due = sa.select(job.c.id).where(
        job.c.state.in_(("waiting", "suspect")), job.c.lane.in_(wish.lanes), job.c.run_at <= now
    )
    waiting = due.where(job.c.state == "waiting").limit(1)
    suspect = due.where(job.c.state == "suspect").limit(1)
    return any(connection.execute(query).first() is not None for query in (waiting, suspect))


def renew(tx: Tx, items: Sequence[tuple[Sequence[Job], float]]) -> list[frozenset[str]]:
    """The ids of those whose claim is no longer ours; the leases of the others are longer now."""
    return [
        frozenset(one.id for one in jobs if not _changed(tx, one, lease_until=tx.now + length))
        for jobs, length in items
    ]


def give_back(tx: Tx, items: Sequence[Sequence[Job]]) -> list[None]:
    """The jobs wait again at once; their tries stay as they were."""
    for jobs in items:
        for one in jobs:
            _changed(tx, one, state="waiting", lease_until=None, run_at=tx.now, worker="")
    tx.made_work = True
    return [None] * len(items)


def as_job(row: Any) -> Job:
    return Job(
        id=row.id,
        lane=row.lane,
        stage=Stage(row.stage),
        ref=row.ref,
        claim=row.claim,
        tries=row.tries,
        waits=row.waits,
        created=row.created,
        lease_until=row.lease_until or 0.0,
        alone=row.expiries > 0,
    )


def _changed(tx: Tx, claimed: Job, **values: Any) -> bool:
    """Was the claim still ours, and so changed?"""
    ours = job.c.id == claimed.id, job.c.claim == claimed.claim, job.c.state == "running"
    return bool(tx.connection.execute(job.update().where(*ours).values(**values)).rowcount)


def _claim(tx: Tx, wish: Wish) -> Claims:
    """A suspect runs alone in its process: an idle worker takes one and nothing beside it, a busy one drains first."""
    lanes = {lane: slots for lane, slots in wish.lanes.items() if slots > 0}
    if _suspect_waits(tx, list(wish.lanes)):
        if not wish.idle:
            return Claims(drain=True)
        for lane in lanes:
            suspects = _take(tx, "suspect", lane, 1, wish)
            if suspects:
                return Claims(jobs=tuple(suspects), drain=True)
    jobs: list[Job] = []
    for lane, slots in lanes.items():
        room = min(slots, wish.total - len(jobs))
        if room > 0:
            jobs += _take(tx, "waiting", lane, room, wish)
    return Claims(jobs=tuple(jobs))


def _suspect_waits(tx: Tx, lanes: list[str]) -> bool:
    query = sa.select(job.c.id).where(job.c.state == "suspect", job.c.lane.in_(lanes), job.c.run_at <= tx.now)
    return tx.connection.execute(query.limit(1)).first() is not None


def _take(tx: Tx, state: str, lane: str, room: int, wish: Wish) -> list[Job]:
    # The state is written into the statement, so that the partial index of that state serves it.
    due = (
        sa.select(job.c.id)
        .where(job.c.state == sa.literal_column(f"'{state}'"), job.c.lane == lane, job.c.run_at <= tx.now)
        .order_by(job.c.run_at, job.c.id)
        .limit(room)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = (
        job.update()
        .where(job.c.id.in_(sa.select(due.c.id)))
        .values(state="running", claim=job.c.claim + 1, lease_until=tx.now + wish.lease, worker=wish.worker)
        .returning(*COLUMNS)
    )
    return [as_job(row) for row in tx.connection.execute(taken)]

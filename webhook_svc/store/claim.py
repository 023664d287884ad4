"""Who works on what: claims, leases, and what becomes of a claim whose worker died."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ..core.types import Job, Stage
from ..core.work import Claims, Wish
from . import lanes
from .engine import Tx
from .tables import is_state, job

SUSPECT_EXPIRIES = 2
"""A job that lost its worker this often runs alone from then on. Once proves nothing: a worker that is killed loses
all its jobs."""

COLUMNS = (
    job.c.id,
    job.c.lane,
    job.c.stage,
    job.c.ref,
    job.c.claim,
    job.c.tries,
    job.c.waits,
    job.c.doubts,
    job.c.created,
    job.c.lease_until,
    job.c.expiries,
)


def claim(tx: Tx, wishes: Sequence[Wish]) -> list[Claims]:
    return [_claim(tx, wish) for wish in wishes]


def is_due(connection: sa.Connection, wish: Wish, now: float) -> bool:
    """Is there anything this worker could take? A read, so that an idle worker never writes."""
    names = wish.lanes.keys() - lanes.closed(connection, now)
    return any(_due(connection, state, names, now) for state in ("waiting", "suspect"))


def renew(tx: Tx, items: Sequence[tuple[Sequence[Job], float]]) -> list[frozenset[str]]:
    """The ids of those whose claim is no longer ours; the leases of the others are longer now."""
    return [
        frozenset(one.id for one in jobs if not _changed(tx, one, lease_until=tx.now + length))
        for jobs, length in items
    ]


def give_back(tx: Tx, items: Sequence[Sequence[Job]]) -> list[None]:
    """The jobs wait again at once, a suspect still as a suspect; their tries stay as they were."""
    for jobs in items:
        for one in jobs:
            state = "suspect" if one.alone else "waiting"
            _changed(tx, one, state=state, lease_until=None, run_at=tx.now, worker="")
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
        doubts=row.doubts,
        created=row.created,
        lease_until=row.lease_until or 0.0,
        alone=row.expiries >= SUSPECT_EXPIRIES,
    )


def _changed(tx: Tx, claimed: Job, **values: Any) -> bool:
    """Was the claim still ours, and so changed?"""
    ours = job.c.id == claimed.id, job.c.claim == claimed.claim, job.c.state == "running"
    return bool(tx.connection.execute(job.update().where(*ours).values(**values)).rowcount)


def _claim(tx: Tx, wish: Wish) -> Claims:
    doors = lanes.doors(tx)
    jobs = _taken(tx, wish, doors)
    return Claims(jobs=tuple(jobs), probing=lanes.mark_probes(tx, jobs, doors.ajar, wish.lease))


def _taken(tx: Tx, wish: Wish, doors: lanes.Doors) -> list[Job]:
    """A suspect runs alone in its process: in its turn an idle worker takes one and nothing beside it, a busy one takes
    nothing until it is idle."""
    free = doors.slots(wish.lanes)
    if wish.suspects and _due(tx.connection, "suspect", [lane for lane in wish.lanes if not doors.shut(lane)], tx.now):
        return (_suspect(tx, wish, free) or _waiting(tx, wish, free, doors.ajar)) if wish.idle else []
    return _waiting(tx, wish, free, doors.ajar) or (_suspect(tx, wish, free) if wish.idle else [])


def _suspect(tx: Tx, wish: Wish, free: Iterable[str]) -> list[Job]:
    for lane in free:
        if taken := take(tx, "suspect", job.c.lane == lane, 1, wish.worker, wish.lease):
            return taken
    return []


def _waiting(tx: Tx, wish: Wish, free: Mapping[str, int], ajar: frozenset[str]) -> list[Job]:
    jobs: list[Job] = []
    for lane, slots in free.items():
        room = min(slots, wish.total - len(jobs))
        if room > 0:
            which = lanes.candidate(tx, lane) if lane in ajar else job.c.lane == lane
            jobs += take(tx, "waiting", which, room, wish.worker, wish.lease)
    return jobs


def _due(connection: sa.Connection, state: str, names: Iterable[str], now: float) -> bool:
    """Lane by lane along the index: asked for all of them at once, Postgres reads the table from its beginning, and
    with it what is dead there."""
    first = sa.select(job.c.id).where(is_state(job, state), job.c.run_at <= now).order_by(job.c.run_at).limit(1)
    firsts = [first.where(job.c.lane == lane).scalar_subquery() for lane in names]
    return connection.execute(sa.select(sa.func.coalesce(*firsts, sa.null(), sa.null()))).scalar() is not None


def take(tx: Tx, state: str, which: sa.ColumnElement[bool], room: int, worker: str, lease: float) -> list[Job]:
    """Claims up to `room` due jobs, the longest due first; what another worker is taking is passed over."""
    due = (
        sa.select(job.c.id)
        .where(is_state(job, state), which, job.c.run_at <= tx.now)
        .order_by(job.c.run_at, job.c.id)
        .limit(room)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = (
        job.update()
        .where(job.c.id.in_(sa.select(due.c.id)))
        .values(state="running", claim=job.c.claim + 1, lease_until=tx.now + lease, worker=worker, recalled=False)
        .returning(*COLUMNS, job.c.run_at)
    )
    rows = sorted(tx.connection.execute(taken), key=lambda row: (row.run_at, row.id))
    return [as_job(row) for row in rows]

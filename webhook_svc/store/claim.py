"""Who works on what: claims, leases, and what becomes of a claim whose worker died."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ..core.types import Job, Stage, sink_lane
from ..core.work import Claims, Wish
from . import lanes
from .engine import Tx
from .jobs import COLUMNS, as_job
from .prepared import Prepared, PreparedEach, Row, Statement, as_texts, each_text, given, moment
from .read import read_small_events
from .tables import is_state, job, lane

STATES = ("suspect", "waiting")


def ours(row: Any) -> sa.ColumnElement[bool]:
    """Of a statement over `CLAIMED`: is the claim still that one?"""
    return sa.and_(job.c.id == row.which, job.c.claim == row.number, job.c.state == "running")


CLAIMED: Mapping[str, sa.Column[Any]] = {"which": job.c.id, "number": job.c.claim}


def _due_by_lane(dialect: str) -> Statement:
    """Of each lane that is not closed: is anything due, is a suspect, and is it paused? Lane by lane along the index:
    asked for all of them at once, Postgres reads the table from its beginning, and with it what is dead there."""
    names, at = each_text("lanes", dialect), moment("at", dialect)
    name, open_ = names.c.value, sa.and_(lane.c.until <= at, lane.c.probe_until <= at)
    firsts = {
        state: sa.select(job.c.id)
        .where(is_state(job, state), job.c.lane == name, job.c.run_at <= at)
        .order_by(job.c.run_at)
        .limit(1)
        .scalar_subquery()
        for state in STATES
    }
    is_due = [first.is_not(None).label(state) for state, first in firsts.items()]
    asked = sa.select(name.label("lane"), *is_due, sa.func.coalesce(lane.c.until > 0, False).label("paused"))
    troubled = names.outerjoin(lane, lane.c.name == name)
    return asked.select_from(troubled).where(sa.or_(lane.c.name.is_(None), open_))


def _taking(state: str, which: sa.ColumnElement[bool]) -> Prepared:
    """Up to `room` due jobs, the longest due first; what another worker is taking is passed over."""
    due = (
        sa.select(job.c.id)
        .where(is_state(job, state), which, job.c.run_at <= given("at"))
        .order_by(job.c.run_at, job.c.id)
        .limit(given("room"))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    changed = {"state": "running", "claim": job.c.claim + 1, "recalled": False}
    return Prepared(
        job.update()
        .where(job.c.id.in_(sa.select(due.c.id)))
        .values(**changed, lease_until=given("until"), worker=given("by"))
        .returning(*COLUMNS, job.c.run_at)
    )


def _first_of_shares() -> sa.ColumnElement[bool]:
    """The longest due delivery of each of some sources that wait for this sink, whichever chance picks: none waits for
    the backlog of another. Read in leaps along the index, from source to source."""
    deliver: sa.ColumnElement[str] = sa.literal_column(f"'{Stage.DELIVER}'")  # written out, as the states are
    here = is_state(job, "waiting"), job.c.stage == deliver, job.c.lane == given("of_lane")
    share = sa.select(sa.func.min(job.c.share).label("name")).where(*here).cte("shares", recursive=True)
    beyond = sa.select(sa.func.min(job.c.share)).where(*here, job.c.share > share.c.name).scalar_subquery()
    share = share.union_all(sa.select(beyond).where(share.c.name.is_not(None)))
    first = sa.select(job.c.id).where(*here, job.c.share == share.c.name, job.c.run_at <= given("at"))
    first = first.order_by(job.c.run_at, job.c.id).limit(1).correlate(share)
    firsts = sa.select(first.scalar_subquery().label("id")).where(share.c.name.is_not(None)).subquery()
    some = sa.select(firsts.c.id).where(firsts.c.id.is_not(None)).order_by(sa.func.random()).limit(given("room"))
    return job.c.id.in_(some)


_DUE = Prepared(_due_by_lane)
_OF_LANE = job.c.lane == given("of_lane")
_TAKE = {state: _taking(state, _OF_LANE) for state in STATES}
_TAKE_SHARES = _taking("waiting", _first_of_shares())
_TAKE_PROBE = _taking("waiting", lanes.candidate(given("of_lane"), given("at")))
_RENEW = PreparedEach(
    {**CLAIMED, "until": job.c.lease_until},
    lambda row, _: job.update().where(ours(row)).values(lease_until=row.until).returning(job.c.id),
)
_GIVE_BACK = PreparedEach(
    {**CLAIMED, "back": job.c.state, "at": job.c.run_at},
    lambda row, _: job.update().where(ours(row)).values(state=row.back, lease_until=None, run_at=row.at, worker=""),
)
_FENCE = PreparedEach(
    CLAIMED,
    lambda row, _: (
        sa.select(job.c.id, job.c.claim, job.c.waits, job.c.recalled)
        .where(ours(row))
        .order_by(job.c.id)
        .with_for_update(of=job)
    ),
)


def claim(tx: Tx, wishes: Sequence[Wish]) -> list[Claims]:
    return [_claim(tx, wish) for wish in wishes]


def is_due(driver: Any, wish: Wish, now: float | None) -> bool:
    """Is there anything this worker could take? A read, so that an idle worker never writes."""
    return any(names for _, names in _choices(wish, _due(driver, wish, now)))


def filled(wish: Wish, claims: Claims) -> bool:
    """Was there work for every slot of the worker, or of a lane?"""
    taken = Counter(one.lane for one in claims.jobs)
    return any(number >= min(wish.lanes[lane], wish.total) for lane, number in taken.items())


def renew(tx: Tx, items: Sequence[tuple[Sequence[Job], float]]) -> list[frozenset[str]]:
    """The ids of those whose claim is no longer ours; the leases of the others are longer now."""
    return [_renewed(tx, jobs, length) for jobs, length in items]


def give_back(tx: Tx, items: Sequence[Sequence[Job]]) -> list[None]:
    """The jobs wait again at once, a suspect still as a suspect; their tries stay as they were."""
    rows = [
        {**claimed(one), "back": "suspect" if one.alone else "waiting", "at": tx.now} for jobs in items for one in jobs
    ]
    _GIVE_BACK.run(tx.driver, rows)
    lanes.give_back_probes(tx, [one.id for jobs in items for one in jobs])
    tx.made_work = True
    return [None] * len(items)


def fenced(tx: Tx, jobs: Sequence[Job]) -> dict[tuple[str, int], Row]:
    """By id and claim, as it stands now, each job that is still claimed so; nobody else changes it before we commit."""
    return {(row.id, row.claim): row for row in _FENCE.all(tx.driver, [claimed(one) for one in jobs])}


def claimed(one: Job) -> dict[str, Any]:
    return {"which": one.id, "number": one.claim}


def _renewed(tx: Tx, jobs: Sequence[Job], length: float) -> frozenset[str]:
    rows = [{**claimed(one), "until": tx.now + length} for one in jobs]
    return frozenset(one.id for one in jobs) - {row.id for row in _RENEW.all(tx.driver, rows)}


def _claim(tx: Tx, wish: Wish) -> Claims:
    due = _due(tx.driver, wish, tx.now)
    doors = lanes.doors(tx) if any(row.paused for row in due) else lanes.OPEN
    rows: list[Row] = []
    for state, names in _choices(wish, [row for row in due if not doors.shut(row.lane)]):
        rows = rows or _taken(tx, state, names, wish, doors)
    jobs = _with_subjects(tx, rows)
    return Claims(jobs=jobs, probing=lanes.mark_probes(tx, jobs, doors.ajar, wish.lease))


def _due(driver: Any, wish: Wish, now: float | None) -> list[Row]:
    rows = _DUE.all(driver, lanes=as_texts(driver, wish.lanes), at=now)
    return [row for row in rows if row.waiting or row.suspect]


def _choices(wish: Wish, due: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """Jobs of which state to take, from which lanes: of the first that brings any. A suspect runs alone in its process:
    in its turn an idle worker takes one and nothing beside it, a busy one takes nothing until it is idle."""
    free = [lane for lane, slots in wish.lanes.items() if slots > 0]
    suspects, waiting = {row.lane for row in due if row.suspect}, {row.lane for row in due if row.waiting}
    choices = [
        ("suspect", [one for one in free if one in suspects]),
        ("waiting", [one for one in free if one in waiting]),
    ]
    turn = wish.suspects and bool(suspects)
    if not wish.idle:
        return [] if turn else choices[1:]
    return choices if turn else choices[::-1]


def _taken(tx: Tx, state: str, names: Sequence[str], wish: Wish, doors: lanes.Doors) -> list[Row]:
    slots, total = doors.slots(wish.lanes), 1 if state == "suspect" else wish.total
    rows: list[Row] = []
    for name in names:
        room = min(slots.get(name, 0), total - len(rows))
        for take in _ways(state, name, doors):
            if room > 0:
                taken = _take(tx, take, name, room, wish)
                room -= len(taken)
                rows += taken
    return rows


def _ways(state: str, lane: str, doors: lanes.Doors) -> tuple[Prepared, ...]:
    """What is tried one after the other until the lane's slots are taken. At a sink the sources take turns first."""
    if state == "waiting" and lane in doors.ajar:
        return (_TAKE_PROBE,)
    fair = state == "waiting" and lane.startswith(sink_lane(""))
    return (_TAKE_SHARES, _TAKE[state]) if fair else (_TAKE[state],)


def _take(tx: Tx, take: Prepared, lane: str, room: int, wish: Wish) -> list[Row]:
    taken = take.all(tx.driver, of_lane=lane, room=room, at=tx.now, until=tx.now + wish.lease, by=wish.worker)
    return sorted(taken, key=lambda row: (row.run_at, row.id))


def _with_subjects(tx: Tx, rows: Sequence[Row]) -> tuple[Job, ...]:
    """An event comes with its job, unless it is so large that it had better be read by whoever parses it."""
    events = read_small_events(tx.driver, [row.ref for row in rows if row.stage == Stage.PARSE.value])
    return tuple(as_job(row, events.get(row.ref)) for row in rows)

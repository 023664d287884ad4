"""Lanes in trouble: paused for all workers, probed by one job at a time, and resumed. In good times there is no row.

Whoever changes a row locks it first, several in the order of their names. A claim passes over what is locked.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa

from ..core.ids import storable
from ..core.lanes import Party, Turn
from ..core.outcomes import Settlement
from ..core.types import Job, Stage
from .accept import on_conflict_nothing
from .engine import Tx
from .prepared import Prepared
from .tables import is_state, job, lane

CANDIDATES = 500
"""Jobs at either end of a lane's queue among which a probe is chosen."""

FORGOTTEN = 86400.0
"""Seconds after which trouble that nobody met again is forgotten."""

_TROUBLED = Prepared(sa.select(lane.c.name, lane.c.until))


# --- claiming -----------------------------------------------------------------------------------------------------


def paused(connection: sa.Connection) -> frozenset[str]:
    """The lanes of which nothing but a probe may be claimed."""
    return frozenset(connection.execute(sa.select(lane.c.name).where(lane.c.until > 0)).scalars())


@dataclass(frozen=True, slots=True)
class Doors:
    """Of the lanes that are not simply open: `ajar` ones let a single job through, which is to be their probe; all
    others in `watched` none."""

    watched: frozenset[str] = frozenset()
    ajar: frozenset[str] = frozenset()

    def slots(self, lanes: Mapping[str, int]) -> dict[str, int]:
        """What may be claimed of each lane; one without a slot is not named."""
        most = {name: min(slots, 1) if name in self.watched else slots for name, slots in lanes.items()}
        return {name: slots for name, slots in most.items() if slots > 0 and not self.shut(name)}

    def shut(self, name: str) -> bool:
        return name in self.watched and name not in self.ajar


OPEN = Doors()


def doors(tx: Tx) -> Doors:
    """As they are for this transaction. A lane is ajar for one transaction at a time."""
    columns = lane.c.name, lane.c.until, lane.c.probe_until
    rows = tx.connection.execute(sa.select(*columns).where(lane.c.until > 0)).all()
    if not rows:
        return OPEN
    rested = [row.name for row in rows if row.until <= tx.now and row.probe_until <= tx.now]
    return Doors(frozenset(row.name for row in rows), frozenset(_locked(tx, rested)) if rested else frozenset())


def candidate(name: sa.ColumnElement[str], at: sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
    """The waiting job that should probe the lane: a parse asks nobody, and what failed often may be to blame itself.
    Chosen from both ends of the queue: a callback that was parsed a moment ago has its fetch at the other one."""
    due = is_state(job, "waiting"), job.c.lane == name, job.c.run_at <= at
    columns = job.c.id, job.c.stage, job.c.tries, job.c.run_at
    ends = [(job.c.run_at, job.c.id), (job.c.run_at.desc(), job.c.id.desc())]
    picked = [sa.select(*columns).where(*due).order_by(*end).limit(CANDIDATES).subquery() for end in ends]
    every = sa.union_all(*map(sa.select, picked)).subquery()
    best = sa.select(every.c.id).order_by(every.c.stage == Stage.PARSE.value, every.c.tries, every.c.run_at, every.c.id)
    return job.c.id.in_(best.limit(1))


def _locked(tx: Tx, names: Sequence[str]) -> Iterable[str]:
    rested = lane.c.name.in_(names), lane.c.until <= tx.now, lane.c.probe_until <= tx.now
    rows = sa.select(lane.c.name).where(*rested).order_by(lane.c.name).with_for_update(skip_locked=True)
    return tx.connection.execute(rows).scalars()


def mark_probes(tx: Tx, taken: Iterable[Job], ajar: frozenset[str], lease: float) -> tuple[str, ...]:
    """Those of the claimed jobs that came through a door ajar are their lanes' probes. Returns the lanes."""
    probes = [one for one in taken if one.lane in ajar]
    for one in probes:
        values = {"probe": one.id, "probe_until": tx.now + lease}
        tx.connection.execute(lane.update().where(lane.c.name == one.lane).values(values))
    return tuple(one.lane for one in probes)


def give_back_probes(tx: Tx, jobs: Sequence[str]) -> None:
    """Another worker need not wait for one that stops in order."""
    free = {"probe": "", "probe_until": 0.0}
    tx.connection.execute(lane.update().where(lane.c.probe.in_(jobs)).values(free))


def end_pause(tx: Tx, names: Sequence[str]) -> list[bool]:
    """A person knows better: the next claim probes."""
    tx.made_work = True
    return [_ended(tx, name) for name in names]


def _ended(tx: Tx, name: str) -> bool:
    resting = lane.c.name == storable(name), lane.c.until > 0
    ended = sa.case((lane.c.until > tx.now, tx.now), else_=lane.c.until)
    return bool(tx.connection.execute(lane.update().where(*resting).values(until=ended)).rowcount)


def forget(tx: Tx) -> None:
    """Trouble of lanes that nobody has asked for a day, be they no longer configured."""
    before = tx.now - FORGOTTEN
    old = lane.c.since < before, lane.c.until < before, lane.c.probe_until < before
    tx.connection.execute(lane.delete().where(*old))


# --- settling -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A row as it is read, judged and written back. `until` is 0 while the lane was not paused yet."""

    name: str
    failures: int
    job: str
    since: float
    reason: str
    until: float = 0.0
    pause: float = 0.0
    probe: str = ""
    probe_until: float = 0.0


def troubled(tx: Tx) -> dict[str, bool]:
    """The lanes that have a row, and whether they are paused. A look that locks nothing: in good times it is all that
    lanes cost a settlement."""
    return {row.name: row.until > 0 for row in _TROUBLED.all(tx.driver)}


def note(tx: Tx, items: Sequence[Settlement], troubled: Collection[str]) -> dict[str, Turn]:
    """What these settlements, whose claims were ours until now, say of their lanes, of which those in trouble are
    named. Returns the lanes that were paused, or run again."""
    failing = {item.job.lane for item in items if item.party is Party.FAILS}
    concerned = failing.union(item.job.lane for item in items if item.job.lane in troubled)
    if not concerned:
        return {}
    known = _read(tx, sorted(concerned))
    known |= _begin(tx, sorted(failing - known.keys()))
    troubles: dict[str, Trouble | None] = dict(known)
    turns: dict[str, Turn] = {}
    for item in items:
        before = troubles.get(item.job.lane)
        if before is not None:
            after = troubles[before.name] = judged(before, item, tx.now)
            if turn := _turn(before, after, tx.now):
                turns[before.name] = turn
    _write(tx, known, troubles)
    return turns


def judged(trouble: Trouble, item: Settlement, now: float) -> Trouble | None:
    """The lane's trouble after this settlement; None: it is over. A job that began before the pause was over says
    nothing of the time after it."""
    probe = item.job.id == trouble.probe
    news = not trouble.until or probe or item.job.lease_until - item.lease > trouble.until
    trouble = replace(trouble, probe="", probe_until=0.0) if probe else trouble
    if item.party is Party.UNHEARD or not news:
        return _asked(trouble, item, now)
    return None if item.party is Party.ANSWERS else _failed(trouble, item, now)


def _asked(trouble: Trouble, item: Settlement, now: float) -> Trouble:
    """`Retry-After` is honoured whoever hears it."""
    if item.party is not Party.FAILS or not item.after:
        return trouble
    return replace(trouble, until=max(trouble.until, now + min(item.after, item.retry.longest)))


def _failed(trouble: Trouble, item: Settlement, now: float) -> Trouble:
    """One job that fails again and again is its own trouble."""
    another = item.job.id != trouble.job
    failures = trouble.failures + another
    trouble = replace(trouble, failures=failures, job=item.job.id, reason=storable(item.message))
    if item.after:
        return _asked(trouble, item, now)
    if not trouble.until and failures < item.retry.pause_after:
        return trouble
    pause = item.retry.next_pause(trouble.pause)
    return replace(trouble, until=now + pause, pause=pause)


def _turn(before: Trouble, after: Trouble | None, now: float) -> Turn | None:
    """What a person is told: that a pause begins, or that it is all over; not that it grew while it lasted."""
    if after is None:
        return Turn(lane=before.name, pause=None, reason=before.reason) if before.until else None
    if before.until <= now < after.until:
        return Turn(lane=after.name, pause=after.until - now, reason=after.reason)
    return None


def _read(tx: Tx, names: Sequence[str]) -> dict[str, Trouble]:
    rows = sa.select(lane).where(lane.c.name.in_(names)).order_by(lane.c.name).with_for_update()
    return {row.name: Trouble(**row._mapping) for row in tx.connection.execute(rows)}


def _begin(tx: Tx, names: Sequence[str]) -> dict[str, Trouble]:
    """Rows of lanes that had none: two processes may begin the same one."""
    if not names:
        return {}
    rows = [{"name": name, "failures": 0, "job": "", "since": tx.now, "reason": ""} for name in names]
    tx.connection.execute(on_conflict_nothing(tx, lane, "name"), rows)
    return _read(tx, names)


def _write(tx: Tx, before: Mapping[str, Trouble], after: Mapping[str, Trouble | None]) -> None:
    for name, trouble in after.items():
        if trouble is None:
            tx.connection.execute(lane.delete().where(lane.c.name == name))
            tx.made_work = True
        elif trouble != before[name]:
            tx.connection.execute(lane.update().where(lane.c.name == name).values(asdict(trouble)))
            tx.made_work |= not trouble.probe  # one that came to nothing leaves its turn to the next

"""What machines watch: how much work waits and for how long, how much is dead. Cheap, however much that is."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..core.lanes import COUNTED
from .tables import delivery, event, is_bad, is_state, job, reconciliation, signing

STATES = ("waiting", "suspect", "running")
_BAD = ("dead", "held")


def lanes(connection: Connection) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in lanes_in(connection, *STATES):
        found[row.lane] += row.number
    return dict(found)


def gauges(connection: Connection, now: float) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Work that waits or runs by lane with its age, and dead letters: what a person wants to be woken for."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for row in lanes_in(connection, *STATES):
        labels = (("lane", row.lane), ("state", row.state))
        found[("jobs", labels)] = row.number
        if row.state != "running":
            found[("oldest_due_seconds", labels)] = max(now - row.oldest, 0.0)
    for name, table, states in (("event", event, ("dead",)), ("signing", signing, _BAD), ("delivery", delivery, _BAD)):
        numbers = _bad_ones(connection, table)
        for state in states:
            found[("dead_letters", (("of", name), ("state", state)))] = numbers.get(state, 0)
    looked = sa.func.coalesce(reconciliation.c.looked, reconciliation.c.mark)  # before the first: when it was due
    for source, at in connection.execute(sa.select(reconciliation.c.source, looked)):
        found[("reconciled_seconds_ago", (("source", source),))] = max(now - at, 0.0)
    return found


def lanes_in(connection: Connection, *states: str) -> Sequence[Any]:
    """Rows of lane, state, number and oldest run_at. In one statement: a job that goes from one of these states to
    another meanwhile is in one of them."""
    return connection.execute(sa.union_all(*map(_in_state, states))).all()


def oldest_waiting(connection: Connection) -> dict[str, float]:
    """The lanes in which work waits, with when the longest due of it was due: two looks into the index for each."""
    found = _leaps("waiting")
    known = sa.select(found.c.lane, _oldest("waiting", found.c.lane)).where(found.c.lane.is_not(None))
    return {row.lane: row.oldest for row in connection.execute(known)}


def _in_state(state: str) -> sa.Select[Any]:
    """What waits may be a million: its index is read in leaps from lane to lane. What runs is what the workers have
    hands for, and is read whole."""
    named = sa.literal_column(f"'{state}'", sa.String).label("state")
    if state == "running":
        oldest = sa.func.min(job.c.run_at).label("oldest")
        running = sa.select(job.c.lane, named, sa.func.count().label("number"), oldest).where(is_state(job, state))
        return running.group_by(job.c.lane)
    found = _leaps(state)
    lane = found.c.lane
    mine = is_state(job, state), job.c.lane == lane
    some = sa.select(job.c.id).where(*mine).order_by(job.c.run_at).limit(COUNTED).correlate(found).subquery()
    number = sa.select(sa.func.count()).select_from(some).scalar_subquery().label("number")
    return sa.select(lane, named, number, _oldest(state, lane)).where(lane.is_not(None))


def _oldest(state: str, lane: sa.ColumnElement[str]) -> sa.ColumnElement[float]:
    first = sa.select(job.c.run_at).where(is_state(job, state), job.c.lane == lane).order_by(job.c.run_at).limit(1)
    return first.scalar_subquery().label("oldest")


def _leaps(state: str) -> sa.CTE:
    """The lanes that have jobs in this state: each is the first beyond the one before; a NULL ends them."""
    name = f"{state}_lanes"
    first = sa.select(sa.func.min(job.c.lane).label("lane")).where(is_state(job, state)).cte(name, recursive=True)
    beyond = sa.select(sa.func.min(job.c.lane)).where(is_state(job, state), job.c.lane > first.c.lane)
    return first.union_all(sa.select(beyond.scalar_subquery()).where(first.c.lane.is_not(None)))


def _bad_ones(connection: Connection, table: sa.Table) -> dict[str, int]:
    newest = sa.select(table.c.state).where(is_bad(table)).order_by(table.c.id.desc()).limit(COUNTED)
    some = newest.subquery()
    counted = sa.select(some.c.state, sa.func.count()).group_by(some.c.state)
    return {row[0]: row[1] for row in connection.execute(counted)}

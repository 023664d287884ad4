"""Which workers run, which lanes they serve, and which lanes have work that none of them serves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..core.lanes import LaneRow
from .engine import Tx
from .gauges import STATES, lanes_in, oldest_waiting
from .tables import lane, worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendance:
    """A worker runs and serves these lanes; whoever hears nothing of it for `hold` seconds takes it for dead."""

    worker: str
    lanes: tuple[str, ...]
    version: str
    hold: float


def attend(tx: Tx, items: Sequence[Attendance]) -> list[None]:
    for item in items:
        values = {"lanes": json.dumps(item.lanes), "version": item.version, "until": tx.now + item.hold}
        mine = worker.update().where(worker.c.name == item.worker).values(values)
        if not tx.connection.execute(mine).rowcount:
            tx.connection.execute(worker.insert(), {**values, "name": item.worker, "started": tx.now})
    return [None] * len(items)


def leave(tx: Tx, names: Sequence[str]) -> list[None]:
    tx.connection.execute(worker.delete().where(worker.c.name.in_(names)))
    return [None] * len(names)


def forget_the_dead(tx: Tx) -> None:
    tx.connection.execute(worker.delete().where(worker.c.until < tx.now))


# --- looking ------------------------------------------------------------------------------------------------------


def unserved(connection: Connection, now: float) -> dict[str, float]:
    """Lanes in which work waits and which no running worker serves, with the seconds that the longest due of it has
    been due."""
    served = _served(connection, now)
    waiting = oldest_waiting(connection)
    return {name: max(now - oldest, 0.0) for name, oldest in waiting.items() if name not in served}


def overview(connection: Connection, now: float) -> tuple[LaneRow, ...]:
    """Every lane with work, every one in trouble and every one that is served, by name."""
    served = _served(connection, now)
    counts = _counts(connection)
    troubles = {row.name: row for row in connection.execute(sa.select(lane))}
    return tuple(
        LaneRow(
            lane=name,
            served_by=served.get(name, ()),
            **counts.get(name, {}),
            **(_trouble(troubles[name]) if name in troubles else {}),
        )
        for name in sorted(served.keys() | counts.keys() | troubles.keys())
    )


def numbers(connection: Connection, now: float) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    running = sa.select(sa.func.count()).select_from(worker).where(worker.c.until > now)
    found["workers", ()] = connection.execute(running).scalar_one()
    for name, seconds in unserved(connection, now).items():
        found["lane_unserved_seconds", (("lane", name),)] = seconds
    for name, since in connection.execute(sa.select(lane.c.name, lane.c.since).where(lane.c.until > 0)):
        found["lane_paused_seconds", (("lane", name),)] = max(now - since, 0.0)
    return found


def _served(connection: Connection, now: float) -> dict[str, tuple[str, ...]]:
    """The names of the running workers by lane."""
    rows = connection.execute(sa.select(worker.c.name, worker.c.lanes).where(worker.c.until > now))
    found: dict[str, tuple[str, ...]] = {}
    for name, lanes in rows.all():
        for one in json.loads(lanes):
            found[one] = (*found.get(one, ()), name)
    return found


def _counts(connection: Connection) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in lanes_in(connection, *STATES):
        mine = found.setdefault(row.lane, {})
        if row.state == "running":
            mine["running"] = row.number
        else:
            mine["waiting"] = mine.get("waiting", 0) + row.number
            mine["oldest"] = min(row.oldest, mine.get("oldest", row.oldest))
    return found


def _trouble(row: Any) -> Mapping[str, Any]:
    return {
        "failures": row.failures,
        "since": row.since,
        "reason": row.reason,
        "paused": row.until > 0,
        "until": row.until or None,
    }

"""A person's decision: dead letters live again, held ones are released, finished work is done once more."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from ..core.asking import Replayed, ReplayOrder
from ..core.errors import DocumentCheckFailed
from ..core.ids import storable
from ..core.types import Stage, sink_lane, source_lane
from .engine import Tx
from .jobs import insert_jobs
from .lanes import paused
from .signings import raise_wanted
from .tables import attempt, delivery, event, payload, signing


def replay(tx: Tx, orders: Sequence[ReplayOrder]) -> list[list[Replayed]]:
    return [[_one(tx, order, some_id) for some_id in order.ids] for order in orders]


def _one(tx: Tx, order: ReplayOrder, some_id: str) -> Replayed:
    table, act, stage = _KINDS.get(some_id[:4], (None, None, None))
    if table is None or act is None or stage is None:
        return Replayed(id=some_id, ok=False, what="not the id of an event, a signing or a delivery")
    query = sa.select(table).where(table.c.id == storable(some_id))
    row = tx.connection.execute(query.with_for_update(key_share=True)).mappings().first()
    if row is None:
        return Replayed(id=some_id, ok=False, what="unknown id")
    obstacle = _unserved(stage, row, order) or _obstacle(str(row["state"]), order) or _lack(tx, stage, some_id)
    if obstacle:
        return Replayed(id=some_id, ok=False, what=obstacle)
    lane = _lane(stage, row)
    later = f", when {lane}, which is paused, answers again" if lane in paused(tx.connection) else ""
    if order.dry_run:
        return Replayed(id=some_id, ok=True, what=f"would {stage.value} it again (now {row['state']}){later}")
    act(tx, row)
    _record(tx, stage, some_id, order, str(row["state"]))
    return Replayed(id=some_id, ok=True, what=f"will {stage.value} it again (was {row['state']}){later}")


def _unserved(stage: Stage, row: Any, order: ReplayOrder) -> str:
    party = "sink" if stage is Stage.DELIVER else "source"
    served = order.lanes is None or _lane(stage, row) in order.lanes
    return "" if served else f"its {party} {row[party]!r} is not configured"


def _lane(stage: Stage, row: Any) -> str:
    return sink_lane(row["sink"]) if stage is Stage.DELIVER else source_lane(row["source"])


def _obstacle(state: str, order: ReplayOrder) -> str:
    if state in ("accepted", "fetching", "waiting"):
        return "it is on its way already"
    if state == "held" and not order.release:
        return "it is held for a decision: --release lets it go"
    if state in ("parsed", "complete", "delivered") and not (order.again and order.reason):
        return f"it is {state} already: --again --reason TEXT repeats finished work"
    return ""


def _lack(tx: Tx, stage: Stage, some_id: str) -> str:
    if stage is not Stage.PARSE:
        return ""
    kept = tx.connection.execute(sa.select(payload.c.event_id).where(payload.c.event_id == some_id)).first()
    return "" if kept else "its bytes are no longer kept"


def _replay_event(tx: Tx, row: Any) -> None:
    tx.connection.execute(event.update().where(event.c.id == row["id"]).values(state="accepted", queued=tx.now))
    insert_jobs(tx, Stage.PARSE, [(source_lane(row["source"]), row["id"])])


def _replay_signing(tx: Tx, row: Any) -> None:
    """What was held for its bytes, or is asked for once more, may come with others: they become a version of their
    own. What was held for want of a route goes out as it is."""
    was_held = row["state"] == "held"
    error = _why_held(tx, row["id"]) if was_held else None
    changed = error is not None or row["state"] == "complete"
    raise_wanted(tx, row["id"], row["source"], changed=changed)
    released = error == DocumentCheckFailed.__name__
    tx.connection.execute(signing.update().where(signing.c.id == row["id"]).values(released=released, reason=""))
    if was_held:
        held = sa.select(delivery).where(delivery.c.signing_id == row["id"], delivery.c.state == "held")
        for one in tx.connection.execute(held).mappings().all():
            _replay_delivery(tx, one)


def _why_held(tx: Tx, signing_id: str) -> str | None:
    """The class of the error that its last fetch ended in; None where that went well. Who releases other bytes still
    wants them checked."""
    ended = sa.select(attempt.c.error, attempt.c.outcome).where(
        attempt.c.ref == signing_id, attempt.c.outcome.in_(("held", "done"))
    )
    last = tx.connection.execute(ended.order_by(attempt.c.id.desc()).limit(1)).first()
    if last is None:  # attempts are not kept for ever
        return ""
    return str(last.error) if last.outcome == "held" else None


def _replay_delivery(tx: Tx, row: Any) -> None:
    values = {"state": "waiting", "receipt": None, "done": None, "reason": ""}
    tx.connection.execute(delivery.update().where(delivery.c.id == row["id"]).values(**values))
    insert_jobs(tx, Stage.DELIVER, [(sink_lane(row["sink"]), row["id"], row["source"])])


def _record(tx: Tx, stage: Stage, some_id: str, order: ReplayOrder, state: str) -> None:
    row = {
        "stage": stage.value,
        "ref": some_id,
        "claim": 0,
        "worker": "",
        "started": tx.now,
        "ended": tx.now,
        "outcome": "replay",
        "error": "",
        "message": storable(order.reason or f"was {state}"),
    }
    tx.connection.execute(attempt.insert(), row)


_KINDS: dict[str, tuple[sa.Table, Callable[[Tx, Any], None], Stage]] = {
    "evt_": (event, _replay_event, Stage.PARSE),
    "sgn_": (signing, _replay_signing, Stage.FETCH),
    "dlv_": (delivery, _replay_delivery, Stage.DELIVER),
}

"""What people look at: newest first, a page at a time, and the whole story of one id."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from ..core.asking import Query as Query
from ..core.ids import storable
from ..core.types import Stage
from ..core.work import RefusedCallback
from .codec import load_request
from .tables import (
    attempt,
    delivery,
    event,
    is_bad,
    job,
    part,
    payload,
    refused,
    signing,
    signing_event,
)

_EVENT = (
    event.c.id,
    event.c.source,
    event.c.state,
    event.c.type,
    event.c.sender_id,
    event.c.reason,
    event.c.received,
    event.c.copies,
    event.c.size,
    event.c.hint,
    event.c.verified_by,
    event.c.origin,
)
_SIGNING = (
    signing.c.id,
    signing.c.source,
    signing.c.document,
    signing.c.title,
    signing.c.state,
    signing.c.reason,
    signing.c.version,
    signing.c.lacking,
    signing.c.created,
    signing.c.updated,
)
_DELIVERY = (
    delivery.c.id,
    delivery.c.signing_id,
    delivery.c.source,
    delivery.c.sink,
    delivery.c.state,
    delivery.c.reason,
    delivery.c.version,
    delivery.c.supplement,
    delivery.c.created,
    delivery.c.done,
    delivery.c.receipt,
)
_JOB = (job.c.stage, job.c.state, job.c.run_at, job.c.tries, job.c.waits, job.c.worker, job.c.lease_until)

_OPEN = {(event, "accepted"): Stage.PARSE, (delivery, "waiting"): Stage.DELIVER}
"""What is in such a state has a job of this stage: the jobs are looked through, not all that ever was."""

_STORY = 100
"""Events that one story tells at most."""
_STAGES = {"evt": Stage.PARSE, "sgn": Stage.FETCH, "dlv": Stage.DELIVER}


def rows(connection: Connection, query: Query) -> list[dict[str, Any]]:
    if query.kind == "dead":
        return _dead(connection, query)
    if query.kind == "refused":
        columns = (refused.c.id, refused.c.source, refused.c.at, refused.c.status, refused.c.reason, refused.c.address)
        return _page(connection, sa.select(*columns), refused, query)
    if query.kind == "deliveries":
        statement = sa.select(*_DELIVERY, signing.c.document, signing.c.title)
        return _page(connection, statement.join(signing, signing.c.id == delivery.c.signing_id), delivery, query)
    return _page(connection, sa.select(*_EVENT), event, query)


def timeline(connection: Connection, some_id: str) -> dict[str, Any] | None:
    """The story of an event, a signing or a delivery: everything that hangs together with it. None if unknown."""
    some_id = storable(some_id)
    signing_ids = _signings_of(connection, some_id)
    event_rows = _events_of(connection, some_id, signing_ids)
    if not signing_ids and not event_rows:
        return None
    return {
        "events": [{**row, "attempts": _attempts(connection, row["id"])} for row in event_rows],
        "signings": [_signing_story(connection, signing_id) for signing_id in signing_ids],
    }


def refused_request(connection: Connection, refused_id: str) -> RefusedCallback | None:
    row = connection.execute(sa.select(refused).where(refused.c.id == storable(refused_id))).first()
    if row is None:
        return None
    return RefusedCallback(
        source=row.source,
        status=row.status,
        reason=row.reason,
        address=row.address,
        at=row.at,
        request=load_request(row.request, bytes(row.body)),
    )


def _page(connection: Connection, statement: sa.Select[Any], table: sa.Table, query: Query) -> list[dict[str, Any]]:
    """Rows that are few beside a million are read by the index of those few, whatever else is asked of them."""
    few, number = _few(table, query)
    for name in ("source", "sink", "state"):
        wanted = getattr(query, name)
        if wanted and name in table.c:
            told = table.c[name] == storable(wanted)
            statement = statement.where(told.is_(sa.true()) if few else told)  # no index serves IS TRUE
    if query.before:
        before = storable(query.before)
        statement = statement.where(number < before, table.c.id < before)
    return _plain(connection, statement.where(*few).order_by(number.desc()).limit(query.limit))


def _few(table: sa.Table, query: Query) -> tuple[Sequence[sa.ColumnElement[bool]], sa.Column[str]]:
    """What leads to them, and the id by which they are paged."""
    stage = _OPEN.get((table, query.state))
    if stage is not None:
        return (job.c.stage == stage.value, job.c.ref == table.c.id), job.c.ref
    if query.kind == "dead" or query.state in ("dead", "held"):
        return (is_bad(table),), table.c.id
    return (), table.c.id


def _dead(connection: Connection, query: Query) -> list[dict[str, Any]]:
    """Dead letters of all three kinds; each kind is read through its own partial index."""
    kinds = (
        ("event", "evt_", sa.select(*_EVENT), event),
        ("signing", "sgn_", sa.select(*_SIGNING), signing),
        ("delivery", "dlv_", sa.select(*_DELIVERY), delivery),
    )
    found: list[dict[str, Any]] = []
    for what, prefix, statement, table in kinds:
        if query.sink and what != "delivery":
            continue
        # The page before may have ended with an id of another kind: what follows its prefix is comparable.
        asked = replace(query, before=prefix + query.before[len(prefix) :] if query.before else "")
        found += [{"what": what, **row} for row in _page(connection, statement, table, asked)]
    found.sort(key=lambda row: str(row["id"]).split("_", 1)[1], reverse=True)
    return found[: query.limit]


def _signings_of(connection: Connection, some_id: str) -> list[str]:
    if some_id.startswith("evt_"):
        query = sa.select(signing_event.c.signing_id).where(signing_event.c.event_id == some_id)
    elif some_id.startswith("dlv_"):
        query = sa.select(delivery.c.signing_id).where(delivery.c.id == some_id)
    else:
        query = sa.select(signing.c.id).where(signing.c.id == some_id)
    return list(connection.execute(query).scalars())


def _events_of(connection: Connection, some_id: str, signing_ids: list[str]) -> list[dict[str, Any]]:
    linked = sa.select(signing_event.c.event_id).where(signing_event.c.signing_id.in_(signing_ids))
    first = connection.execute(linked.order_by(signing_event.c.event_id).limit(_STORY)).scalars()
    query = sa.select(*_EVENT).where(event.c.id.in_({some_id, *first})).order_by(event.c.id)
    found = _plain(connection, query.limit(_STORY))
    for row in found:
        kept = sa.select(payload.c.event_id).where(payload.c.event_id == row["id"])
        row["bytes_kept"] = connection.execute(kept).first() is not None
        row["job"] = _job(connection, row["id"])
    return found


def _signing_story(connection: Connection, signing_id: str) -> dict[str, Any]:
    story = _plain(connection, sa.select(*_SIGNING).where(signing.c.id == signing_id))[0]
    parts = sa.select(part).where(part.c.signing_id == signing_id).order_by(part.c.version, part.c.position)
    story["parts"] = _plain(connection, parts)
    story["job"] = _job(connection, signing_id)
    story["attempts"] = _attempts(connection, signing_id)
    deliveries = sa.select(*_DELIVERY).where(delivery.c.signing_id == signing_id).order_by(delivery.c.id)
    story["deliveries"] = [
        {**row, "job": _job(connection, row["id"]), "attempts": _attempts(connection, row["id"])}
        for row in _plain(connection, deliveries)
    ]
    return story


def _job(connection: Connection, ref: str) -> dict[str, Any] | None:
    stage = _STAGES[ref[:3]]
    found = _plain(connection, sa.select(*_JOB).where(job.c.stage == stage.value, job.c.ref == ref))
    return found[0] if found else None


def _attempts(connection: Connection, ref: str) -> list[dict[str, Any]]:
    return _plain(connection, sa.select(attempt).where(attempt.c.ref == ref).order_by(attempt.c.id).limit(200))


def _plain(connection: Connection, statement: sa.Select[Any]) -> list[dict[str, Any]]:
    return [{key: _value(key, value) for key, value in row.items()} for row in connection.execute(statement).mappings()]


def _value(key: str, value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if key in ("receipt", "lacking") and isinstance(value, str):
        loaded: Mapping[str, Any] | list[Any] = json.loads(value)
        return loaded
    return value

"""Signings, their parts and their deliveries: how they come to be, are wanted again, and end."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from ..core.ids import digest, new_id, storable
from ..core.types import DocumentRef, Part, Stage, sink_lane, source_lane
from ..core.work import Fetched, NewDelivery
from .accept import on_conflict_nothing
from .codec import dump_bundle, dump_ref, load_ref
from .engine import Tx
from .jobs import insert_jobs
from .tables import content, delivery, job, part, signing, signing_event


def signing_key(source: str, ref: DocumentRef) -> bytes:
    return digest("signing", source, ref.id, ref.round)


def round_key(source: str, document: str, name: str) -> bytes:
    """Among the contents: what the list calls by this round was fetched."""
    return digest("round", source, document, name)


def lock_signing(tx: Tx, signing_id: str) -> str:
    """Whoever asks for a fetch and whoever settles one take this lock first, before the job's: else a settle could
    read `wanted` before another transaction raises it, and delete the job that the other counts on.
    Returns the state; "nothing" for one that is complete without ever having brought a document."""
    columns = signing.c.state, signing.c.version
    row = tx.connection.execute(
        sa.select(*columns).where(signing.c.id == signing_id).with_for_update(key_share=True)
    ).one()
    return "nothing" if row.state == "complete" and not row.version else str(row.state)


def want(tx: Tx, source: str, ref: DocumentRef, *, changed: bool, event_id: str) -> None:
    """The signing that `ref` names: created with its fetch job, or its `wanted` raised where that has a use."""
    signing_id, created = add_signing(tx, source, ref)
    if not created and not _already_linked(tx, signing_id, event_id):
        _want_again(tx, signing_id, source, changed)
        _learn(tx, signing_id, ref)
    _link(tx, signing_id, event_id)


def add_signing(tx: Tx, source: str, ref: DocumentRef) -> tuple[str, bool]:
    """The id of the signing, and whether it is new, with its fetch job; one that is there already stays as it is."""
    key = signing_key(source, ref)
    fresh = {
        "id": new_id("sgn", tx.now),
        "key": key,
        "source": source,
        "document": storable(ref.id, 400),
        "ref": dump_ref(ref),
        "title": storable(ref.name, 400),
        "state": "fetching",
        "wanted": 1,
        "created": tx.now,
        "updated": tx.now,
    }
    created = tx.connection.execute(on_conflict_nothing(tx, signing, "key").returning(signing.c.id), fresh).scalar()
    signing_id = str(created or tx.connection.execute(sa.select(signing.c.id).where(signing.c.key == key)).scalar_one())
    if created:
        insert_jobs(tx, Stage.FETCH, [(source_lane(source), signing_id)])
    return signing_id, bool(created)


def add_or_revive(tx: Tx, source: str, ref: DocumentRef) -> None:
    """Another signing leads to this one: it is made, or asked for once more where it was given up."""
    signing_id, created = add_signing(tx, source, ref)
    if not created and lock_signing(tx, signing_id) == "dead":
        raise_wanted(tx, signing_id, source, changed=False)


def raise_wanted(tx: Tx, signing_id: str, source: str, *, changed: bool) -> None:
    """One more fetch is asked for: by the job that waits or runs already, which gets its whole schedule of looks
    again, or by a new one."""
    values: dict[str, Any] = {"wanted": signing.c.wanted + 1, "state": "fetching", "updated": tx.now}
    if changed:
        values["change"] = signing.c.wanted + 1
    tx.connection.execute(signing.update().where(signing.c.id == signing_id).values(**values))
    _wake_fetch(tx, signing_id)
    fetch = job.update().where(job.c.stage == Stage.FETCH.value, job.c.ref == signing_id)
    tx.connection.execute(fetch.where(job.c.state == "running").values(created=tx.now, waits=job.c.waits + 1))
    tx.connection.execute(fetch.where(job.c.state != "running").values(created=tx.now, waits=0, doubts=0))
    insert_jobs(tx, Stage.FETCH, [(source_lane(source), signing_id)])


def _want_again(tx: Tx, signing_id: str, source: str, changed: bool) -> None:
    """What another event means depends on where the signing stands: one that is complete stays so unless its
    document may have changed, and one that is held stays held, with the change remembered for its release."""
    state = lock_signing(tx, signing_id)
    if state == "held":
        if changed:
            change = {"wanted": signing.c.wanted + 1, "change": signing.c.wanted + 1}
            tx.connection.execute(signing.update().where(signing.c.id == signing_id).values(change))
        return
    if state == "complete" and not changed:
        return
    raise_wanted(tx, signing_id, source, changed=changed)


def _learn(tx: Tx, signing_id: str, ref: DocumentRef) -> None:
    """While nothing was fetched, a later event may know more than the first: a title, a link that still opens."""
    query = sa.select(signing.c.ref, signing.c.version).where(signing.c.id == signing_id)
    row = tx.connection.execute(query).one()
    if row.version:
        return
    known = load_ref(row.ref)
    more = replace(
        known,
        name=ref.name or known.name,
        completed=known.completed or ref.completed,
        hints={**known.hints, **ref.hints},
    )
    if more != known:
        values = {"ref": dump_ref(more), "title": storable(more.name, 400)}
        tx.connection.execute(signing.update().where(signing.c.id == signing_id).values(values))


def _wake_fetch(tx: Tx, signing_id: str) -> None:
    """A fetch that waits for a file looks now; one that failed keeps its time, for a try is not to be burnt."""
    waiting = job.c.stage == Stage.FETCH.value, job.c.ref == signing_id, job.c.state == "waiting", job.c.waits > 0
    if tx.connection.execute(job.update().where(*waiting).values(run_at=tx.now)).rowcount:
        tx.made_work = True


def _link(tx: Tx, signing_id: str, event_id: str) -> None:
    link = {"signing_id": signing_id, "event_id": event_id}
    tx.connection.execute(on_conflict_nothing(tx, signing_event, "signing_id", "event_id"), link)


def _already_linked(tx: Tx, signing_id: str, event_id: str) -> bool:
    """An event that is parsed again has had its say, unless its signing came to nothing or has nothing yet."""
    link = (
        sa.select(signing.c.state, signing.c.version)
        .join_from(signing, signing_event)
        .where(signing_event.c.signing_id == signing_id, signing_event.c.event_id == event_id)
    )
    row = tx.connection.execute(link).first()
    if row is None or (row.state in ("fetching", "complete") and not row.version):
        return False
    return row.state not in ("dead", "partial")


def look_now(tx: Tx, source: str, ref: DocumentRef, event_id: str) -> None:
    """The event says that this signing ended. It may be forged or overtaken, so it ends nothing: the fetch of a
    document that was never served asks the provider, and ends by its answer."""
    found = sa.select(signing.c.id, signing.c.state, signing.c.version).where(signing.c.key == signing_key(source, ref))
    row = tx.connection.execute(found.with_for_update(key_share=True)).first()
    if row is None:
        return
    _link(tx, row.id, event_id)
    if row.state == "fetching" and not row.version:
        _wake_fetch(tx, row.id)


def first_with(tx: Tx, signing_id: str, key: bytes) -> str:
    """The signing that had this content first; "" where it is this one."""
    row = {"key": key, "signing_id": signing_id}
    if tx.connection.execute(on_conflict_nothing(tx, content, "key").returning(content.c.key), row).first():
        return ""
    first = tx.connection.execute(sa.select(content.c.signing_id).where(content.c.key == key)).scalar_one()
    return "" if first == signing_id else str(first)


def insert_parts(tx: Tx, signing_id: str, outcome: Fetched) -> None:
    """New parts of the version; those that go out now carry the number of their bundle, earlier ones get it too."""
    bundle = {(new.supplement, one.kind, one.name) for new in outcome.deliveries for one in new.parts}
    sent = {(kind, name): supplement for supplement, kind, name in bundle}
    taken = tx.connection.execute(
        sa.select(sa.func.count()).where(part.c.signing_id == signing_id, part.c.version == outcome.version)
    ).scalar_one()
    rows = [
        _part_row(one, signing_id, outcome.version, taken + offset, sent) for offset, one in enumerate(outcome.parts)
    ]
    if rows:
        tx.connection.execute(part.insert(), rows)
    for (kind, name), supplement in sent.items():
        mine = part.c.signing_id == signing_id, part.c.version == outcome.version, part.c.supplement.is_(None)
        tx.connection.execute(
            part.update().where(*mine, part.c.kind == kind, part.c.name == name).values(supplement=supplement)
        )


def _part_row(
    one: Part, signing_id: str, version: int, position: int, sent: dict[tuple[str, str], int]
) -> dict[str, Any]:
    return {
        "signing_id": signing_id,
        "version": version,
        "position": position,
        "kind": one.kind,
        "name": storable(one.name, 400),
        "sha256": bytes.fromhex(one.sha256),
        "size": one.size,
        "content_type": storable(one.content_type, 200),
        "supplement": sent.get((one.kind, one.name)),
    }


def insert_deliveries(tx: Tx, signing_id: str, source: str, outcome: Fetched) -> None:
    for new in outcome.deliveries:
        insert_delivery(tx, signing_id, source, outcome.version, outcome.title, new)


def insert_delivery(tx: Tx, signing_id: str, source: str, version: int, title: str, new: NewDelivery) -> bool:
    """False where this bundle already goes, or went, to that sink."""
    row = {
        "id": new.id,
        "key": digest("delivery", signing_id, str(version), str(new.supplement), new.sink),
        "signing_id": signing_id,
        "source": source,
        "sink": new.sink,
        "version": version,
        "supplement": new.supplement,
        "state": "waiting",
        "bundle": dump_bundle(new, title),
        "created": tx.now,
    }
    inserted = tx.connection.execute(on_conflict_nothing(tx, delivery, "key").returning(delivery.c.id), row).scalar()
    if inserted:
        insert_jobs(tx, Stage.DELIVER, [(sink_lane(new.sink), new.id)])
    return bool(inserted)


def wake_deliveries(tx: Tx, signing_id: str) -> None:
    """Deliveries that waited for their artifacts to be fetched again go on at once."""
    mine = sa.select(delivery.c.id).where(delivery.c.signing_id == signing_id, delivery.c.state == "waiting")
    waiting = job.c.stage == Stage.DELIVER.value, job.c.state == "waiting", job.c.waits > 0
    tx.connection.execute(job.update().where(*waiting, job.c.ref.in_(mine)).values(run_at=tx.now, waits=0))


def hold_deliveries(tx: Tx, signing_id: str, reason: str) -> None:
    mine = delivery.c.signing_id == signing_id, delivery.c.state == "waiting"
    waiting = sa.select(delivery.c.id).where(*mine)
    tx.connection.execute(
        job.delete().where(
            job.c.stage == Stage.DELIVER.value, job.c.ref.in_(waiting), job.c.state.in_(("waiting", "suspect"))
        )
    )
    jobless = ~sa.exists().where(job.c.stage == Stage.DELIVER.value, job.c.ref == delivery.c.id)
    tx.connection.execute(delivery.update().where(*mine, jobless).values(state="held", reason=storable(reason)))

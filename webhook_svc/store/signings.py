"""Signings: how they come to be, are wanted again, and which deliveries wait with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ..core.ids import digest, new_id, storable
from ..core.routing import facts_in, merged
from ..core.types import DocumentRef, Stage, source_lane
from .codec import dump_ref, load_ref
from .engine import Tx
from .jobs import insert_jobs
from .prepared import Prepared, PreparedEach, Row, given, inserting
from .tables import content, delivery, is_state, job, signing, signing_event

_COLUMNS = (
    signing.c.id,
    signing.c.key,
    signing.c.source,
    signing.c.ref,
    signing.c.state,
    signing.c.wanted,
    signing.c.change,
    signing.c.version,
    signing.c.supplements,
)
_LOCK = PreparedEach(
    {"id": signing.c.id, "key": signing.c.key},
    lambda row, _: (
        sa.select(*_COLUMNS)
        .where(sa.or_(signing.c.id == row.id, signing.c.key == row.key))
        .order_by(signing.c.id)
        .with_for_update(key_share=True, of=signing)
    ),
)
_INSERT = inserting(
    signing,
    *("id", "key", "source", "document", "ref", "title", "state", "wanted", "created", "updated"),
    unless=("key",),
    returning=("id", "key"),
)
_BY_KEY = Prepared(sa.select(signing.c.id).where(signing.c.key == given("which")))
_RAISE = {
    "wanted": signing.c.wanted + 1,
    "state": "fetching",
    "updated": given("at"),
}
_WANT = Prepared(signing.update().where(signing.c.id == given("which")).values(_RAISE))
_WANT_CHANGED = Prepared(
    signing.update().where(signing.c.id == given("which")).values({**_RAISE, "change": signing.c.wanted + 1})
)
_REMEMBER_CHANGE = Prepared(
    signing.update()
    .where(signing.c.id == given("which"))
    .values(wanted=signing.c.wanted + 1, change=signing.c.wanted + 1)
)
_LEARN = Prepared(
    signing.update().where(signing.c.id == given("which")).values(ref=given("told"), title=given("named"))
)
_LINKED = Prepared(
    sa.select(signing.c.state, signing.c.version)
    .join_from(signing, signing_event)
    .where(signing_event.c.signing_id == given("which"), signing_event.c.event_id == given("spoken"))
)
_LINK = inserting(signing_event, "signing_id", "event_id", unless=("signing_id", "event_id"))

_FETCH = sa.and_(job.c.stage == Stage.FETCH.value, job.c.ref == given("which"))
_WAKE_FETCH = Prepared(job.update().where(_FETCH, job.c.state == "waiting", job.c.waits > 0).values(run_at=given("at")))
_NOTICE = Prepared(
    job.update().where(_FETCH, job.c.state == "running").values(created=given("at"), waits=job.c.waits + 1)
)
_RENEW = Prepared(job.update().where(_FETCH, job.c.state != "running").values(created=given("at"), waits=0, doubts=0))

_FIRST_WITH = inserting(content, "key", "signing_id", unless=("key",), returning=("key",))
_WHO_HAD = Prepared(sa.select(content.c.signing_id).where(content.c.key == given("which")))

_WAITING = (delivery.c.signing_id == given("which"), delivery.c.state == "waiting")
_DELIVER = sa.and_(job.c.stage == Stage.DELIVER.value, job.c.ref.in_(sa.select(delivery.c.id).where(*_WAITING)))
_WAKE_DELIVERIES = Prepared(
    job.update().where(_DELIVER, job.c.state == "waiting", job.c.waits > 0).values(run_at=given("at"), waits=0)
)
_DROP_DELIVERIES = Prepared(job.delete().where(_DELIVER, is_state(job, "waiting", "suspect")))
_HOLD_DELIVERIES = Prepared(
    delivery.update()
    .where(*_WAITING, ~sa.exists().where(job.c.stage == Stage.DELIVER.value, job.c.ref == delivery.c.id))
    .values(state="held", reason=given("why"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """An event asks for the signing that `ref` names; `changed` where its document may be another than before."""

    event_id: str
    source: str
    ref: DocumentRef
    changed: bool
    key: bytes


def signing_key(source: str, ref: DocumentRef) -> bytes:
    return digest("signing", source, ref.id, ref.round)


def round_key(source: str, document: str, name: str) -> bytes:
    """Among the contents: what the list calls by this round was fetched."""
    return digest("round", source, document, name)


def lock_signings(tx: Tx, ids: Iterable[str], keys: Iterable[bytes] = ()) -> list[Row]:
    """Whoever asks for a fetch and whoever settles one take this lock first, before the job's: else a settle could
    read `wanted` before another transaction raises it, and delete the job that the other counts on.
    All of a transaction at once, for they are locked in the order of their ids; those that do not exist are missing."""
    named = [{"id": one, "key": None} for one in ids]
    return _LOCK.all(tx.driver, named + [{"id": None, "key": key} for key in keys])


def lock_signing(tx: Tx, signing_id: str) -> str:
    """The state of the one that is locked now; "nothing" if it is complete without ever having brought a document."""
    (row,) = lock_signings(tx, [signing_id])
    return "nothing" if row.state == "complete" and not row.version else str(row.state)


def create(tx: Tx, wanted: Mapping[bytes, tuple[str, DocumentRef]]) -> dict[bytes, str]:
    """Of those (source, ref) by key, the ids of the ones that are new, as yet without a job; one that is there already
    stays as it is. In the order of their keys, as everybody inserts them."""
    rows = [_new_row(tx, key, *wanted[key]) for key in sorted(wanted)]
    return {bytes(row.key): row.id for row in _INSERT.all(tx.driver, rows)}


def add_or_revive(tx: Tx, source: str, ref: DocumentRef) -> None:
    """Another signing leads to this one: it is made, or asked for once more where it was given up."""
    key = signing_key(source, ref)
    created = create(tx, {key: (source, ref)})
    insert_jobs(tx, Stage.FETCH, [(source_lane(source), one) for one in created.values()])
    if not created:
        signing_id = signing_of(tx, key)
        if lock_signing(tx, signing_id) == "dead":
            raise_wanted(tx, signing_id, source, changed=False)


def signing_of(tx: Tx, key: bytes) -> str:
    return str(_BY_KEY.one(tx.driver, which=key).id)


def raise_wanted(tx: Tx, signing_id: str, source: str, *, changed: bool) -> None:
    """One more fetch is asked for: by the job that waits or runs already, which gets its whole schedule of looks
    again, or by a new one."""
    (_WANT_CHANGED if changed else _WANT).run(tx.driver, which=signing_id, at=tx.now)
    wake_fetch(tx, signing_id)
    _NOTICE.run(tx.driver, which=signing_id, at=tx.now)
    _RENEW.run(tx.driver, which=signing_id, at=tx.now)
    insert_jobs(tx, Stage.FETCH, [(source_lane(source), signing_id)])


def wake_fetch(tx: Tx, signing_id: str) -> None:
    """A fetch that waits for a file looks now; one that failed keeps its time, for a try is not to be burnt."""
    if _WAKE_FETCH.run(tx.driver, which=signing_id, at=tx.now):
        tx.made_work = True


def want_again(tx: Tx, signing_id: str, want: Want) -> None:
    """Another event speaks of a signing that is there: its `wanted` is raised where that has a use."""
    if not _already_linked(tx, signing_id, want.event_id):
        news = _learn(tx, signing_id, want.ref)
        _raise_where_of_use(tx, signing_id, want, news=news)
    link(tx, [(signing_id, want.event_id)])


def link(tx: Tx, pairs: Sequence[tuple[str, str]]) -> None:
    """Of signings and the events that spoke of them."""
    _LINK.run(tx.driver, [{"signing_id": signing_id, "event_id": event_id} for signing_id, event_id in pairs])


def look_now(tx: Tx, key: bytes, event_id: str) -> None:
    """The event says that this signing ended. It may be forged or overtaken, so it ends nothing: the fetch of a
    document that was never served asks the provider, and ends by its answer."""
    for found in lock_signings(tx, [], [key]):
        link(tx, [(found.id, event_id)])
        if found.state == "fetching" and not found.version:
            wake_fetch(tx, found.id)


def first_with(tx: Tx, signing_id: str, key: bytes) -> str:
    """The signing that had this content first; "" where it is this one."""
    if _FIRST_WITH.all(tx.driver, [{"key": key, "signing_id": signing_id}]):
        return ""
    first = _WHO_HAD.one(tx.driver, which=key).signing_id
    return "" if first == signing_id else str(first)


def wake_deliveries(tx: Tx, signing_id: str) -> None:
    """Deliveries that waited for their artifacts to be fetched again go on at once."""
    if _WAKE_DELIVERIES.run(tx.driver, which=signing_id, at=tx.now):
        tx.made_work = True


def hold_deliveries(tx: Tx, signing_id: str, reason: str) -> None:
    _DROP_DELIVERIES.run(tx.driver, which=signing_id)
    _HOLD_DELIVERIES.run(tx.driver, which=signing_id, why=storable(reason))


def _new_row(tx: Tx, key: bytes, source: str, ref: DocumentRef) -> dict[str, Any]:
    return {
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


def _raise_where_of_use(tx: Tx, signing_id: str, want: Want, *, news: bool) -> None:
    """What another event means depends on where the signing stands: one that is complete stays so unless its
    document may have changed or a route may now want it (`news`), and one that is held stays held, with the change
    remembered for its release."""
    state = lock_signing(tx, signing_id)
    if state == "held":
        if want.changed:
            _REMEMBER_CHANGE.run(tx.driver, which=signing_id)
        return
    if state == "complete" and not want.changed and not news:
        return
    raise_wanted(tx, signing_id, want.source, changed=want.changed)


def _learn(tx: Tx, signing_id: str, ref: DocumentRef) -> bool:
    """While nothing was fetched, a later event may know more than the first: a title, a link that still opens. What
    routes look at is learned always; True where that is new."""
    (row,) = lock_signings(tx, [signing_id])
    known = load_ref(row.ref)
    facts = merged(known.hints, facts_in(ref.hints))
    more = replace(known, hints=facts)
    if not row.version:
        more = replace(
            known,
            name=ref.name or known.name,
            completed=known.completed or ref.completed,
            hints=merged(known.hints, ref.hints),
        )
    if more != known:
        _LEARN.run(tx.driver, which=signing_id, told=dump_ref(more), named=storable(more.name, 400))
    return facts != dict(known.hints)


def _already_linked(tx: Tx, signing_id: str, event_id: str) -> bool:
    """An event that is parsed again has had its say, unless its signing came to nothing or has nothing yet."""
    row = _LINKED.first(tx.driver, which=signing_id, spoken=event_id)
    if row is None or (row.state in ("fetching", "complete") and not row.version):
        return False
    return row.state not in ("dead", "partial")

"""How a claim ends: result, attempt row, the jobs that follow, and this job gone, in one transaction.

A settle whose claim was lost records its attempt as `late`, with its receipt, and changes nothing else.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any

import sqlalchemy as sa

from ..core.ids import storable
from ..core.types import Job, Meaning, Stage
from ..core.work import (
    Again,
    Buried,
    Closed,
    Delivered,
    Fetched,
    Outcome,
    Parsed,
    Refetch,
    Settled,
    Settlement,
)
from . import lanes
from .accept import REQUEUE_INTERVAL
from .claim import take
from .codec import dump, dump_receipt, load_ref
from .engine import Tx
from .signings import (
    add_or_revive,
    first_with,
    hold_deliveries,
    insert_deliveries,
    insert_parts,
    lock_signing,
    look_now,
    raise_wanted,
    round_key,
    signing_key,
    wake_deliveries,
    want,
)
from .tables import attempt, delivery, event, job, signing

SUBJECTS = {Stage.PARSE: event, Stage.FETCH: signing, Stage.DELIVER: delivery}


def settle(tx: Tx, items: Sequence[Settlement]) -> list[Settled]:
    settled = [_settle(tx, item) for item in items]
    turns = lanes.note(tx, [item for item, one in zip(items, settled, strict=True) if one.ours])
    return [replace(one, turn=turns.pop(item.job.lane, None)) for item, one in zip(items, settled, strict=True)]


def _settle(tx: Tx, item: Settlement) -> Settled:
    if item.job.stage is Stage.FETCH:
        lock_signing(tx, item.job.ref)
    ours = job.c.id == item.job.id, job.c.claim == item.job.claim, job.c.state == "running"
    locked = tx.connection.execute(sa.select(job.c.id).where(*ours).with_for_update()).first()
    if locked is None:
        _record(tx, item, "late")
        return Settled(ours=False)
    item = _or_overtaken(tx, item)
    apply(item.outcome, tx, item)
    _record(tx, item, _word(item.outcome))
    return Settled(ours=True, kept=_keep(tx, item))


def _or_overtaken(tx: Tx, item: Settlement) -> Settlement:
    """Lost bytes of an older version are served by nobody: its delivery would go in circles."""
    if not isinstance(item.outcome, Refetch):
        return item
    versions = sa.select(delivery.c.version, signing.c.version.label("newest")).join_from(delivery, signing)
    row = tx.connection.execute(versions.where(delivery.c.id == item.job.ref)).one()
    if row.version == row.newest:
        return item
    reason = f"version {row.newest} replaced this version {row.version}, and the bytes of this one are gone"
    return replace(item, outcome=Buried(reason=reason), message=reason)


@singledispatch
def apply(outcome: Outcome, _tx: Tx, _item: Settlement) -> None:
    """The effect of an outcome on its subject, on what follows, and on the job itself."""
    raise TypeError(f"no effect for {type(outcome).__name__}")


@apply.register
def _parsed(outcome: Parsed, tx: Tx, item: Settlement) -> None:
    _finish(tx, item.job)
    source = _close_event(tx, item.job.ref, "parsed", outcome.type, outcome.sender_id, "")
    for ref, meaning in sorted(outcome.documents, key=lambda wanted: signing_key(source, wanted[0])):
        want(tx, source, ref, changed=meaning is Meaning.CHANGED, event_id=item.job.ref)


@apply.register
def _closed(outcome: Closed, tx: Tx, item: Settlement) -> None:
    _finish(tx, item.job)
    source = _close_event(tx, item.job.ref, "ignored", outcome.type, outcome.sender_id, outcome.reason)
    for ref in sorted(outcome.concerns, key=lambda ref: signing_key(source, ref)):
        look_now(tx, source, ref, item.job.ref)


@apply.register
def _fetched(outcome: Fetched, tx: Tx, item: Settlement) -> None:
    signing_id = item.job.ref
    named = "source", "ref", "wanted", "change", "version", "supplements"
    columns = [signing.c[name] for name in named]
    row = tx.connection.execute(sa.select(*columns).where(signing.c.id == signing_id)).one()
    outcome = _or_another_rounds(tx, signing_id, row.version, outcome)
    for name in outcome.also:
        first_with(tx, signing_id, round_key(row.source, load_ref(row.ref).id, name))
    insert_parts(tx, signing_id, outcome)
    insert_deliveries(tx, signing_id, row.source, outcome)
    served = row.wanted if _serves_all(outcome, row) else outcome.wanted
    look = REQUEUE_INTERVAL if _closes(outcome) and _recalled(tx, item.job) else outcome.look_again
    again = look is not None or row.wanted > served
    bundles = {new.supplement for new in outcome.deliveries}
    tx.connection.execute(
        signing.update()
        .where(signing.c.id == signing_id)
        .values(
            state="fetching" if again else "partial" if outcome.lacking else "complete",
            reason=storable(outcome.note) if _closes(outcome) else "",
            fetched=served,
            version=outcome.version,
            supplements=(row.supplements if outcome.version == row.version else 0) + len(bundles),
            lacking=dump(outcome.lacking),
            title=storable(outcome.title),
            released=False,
            updated=tx.now,
        )
    )
    for ref in sorted(outcome.more, key=lambda ref: signing_key(row.source, ref)):
        add_or_revive(tx, row.source, ref)
    wake_deliveries(tx, signing_id)
    if row.wanted > served:
        _start_over(tx, item.job)
    elif again:
        _wait(tx, item.job, look or 0.0, tries=0, waits=item.job.waits + 1)
    else:
        _finish(tx, item.job)


def _or_another_rounds(tx: Tx, signing_id: str, version: int, outcome: Fetched) -> Fetched:
    """A made-up round, one that the provider's list told of, or one whose bytes were replaced before they were fetched:
    what another round brought already is not handed on again. One that has a version of its own is none of these:
    a change that was announced goes out, whatever it became."""
    first = outcome.content and first_with(tx, signing_id, outcome.content)
    if not first or version:
        return outcome
    return Fetched(
        wanted=outcome.wanted,
        version=version,
        title=outcome.title,
        more=outcome.more,
        also=outcome.also,
        note=f"its document is byte for byte that of {first}: nothing new",
    )


def _closes(outcome: Fetched) -> bool:
    """There rightly was nothing, be it of its own or of a document that it leads to."""
    return not outcome.version and not outcome.more


def _serves_all(outcome: Fetched, row: Any) -> bool:
    """Did the first fetch bring all that later events could ask for? Most providers send several events at once
    when a signing completes; a later fetch may have been asked for by a delivery that lost its bytes."""
    return row.version == 0 and not outcome.lacking and row.change <= outcome.wanted


@apply.register
def _delivered(outcome: Delivered, tx: Tx, item: Settlement) -> None:
    _finish(tx, item.job)
    tx.connection.execute(
        delivery.update()
        .where(delivery.c.id == item.job.ref)
        .values(state="delivered", reason="", receipt=dump_receipt(outcome.receipt), progress="{}", done=tx.now)
    )


@apply.register
def _again(outcome: Again, tx: Tx, item: Settlement) -> None:
    asked_again = _asked_again(tx, item.job)
    if outcome.waiting and asked_again:
        _start_over(tx, item.job)
    else:
        tries, waits = (0, 1) if outcome.waiting else (1, 0)
        doubts = 0 if outcome.waiting or asked_again else item.job.doubts + outcome.doubtful
        _wait(tx, item.job, outcome.delay, tries=item.job.tries + tries, waits=item.job.waits + waits, doubts=doubts)
    _explain(tx, item.job, item.message)


@apply.register
def _buried(outcome: Buried, tx: Tx, item: Settlement) -> None:
    """An event that came while the fetch failed may know better: it gets a fetch of its own. So does a copy of one, in
    a minute, for copies may come in any number."""
    again, recalled = _asked_again(tx, item.job), _recalled(tx, item.job)
    if outcome.held or not (again or recalled):
        bury(tx, item.job, outcome.reason, held=outcome.held)
    else:
        _start_over(tx, item.job, 0.0 if again else REQUEUE_INTERVAL)
        _explain(tx, item.job, outcome.reason)


def _asked_again(tx: Tx, fetch: Job) -> bool:
    """`raise_wanted` counts up the waits of a fetch that runs."""
    waits = tx.connection.execute(sa.select(job.c.waits).where(job.c.id == fetch.id)).scalar_one()
    return fetch.stage is Stage.FETCH and waits > fetch.waits


def _recalled(tx: Tx, fetch: Job) -> bool:
    return bool(tx.connection.execute(sa.select(job.c.recalled).where(job.c.id == fetch.id)).scalar_one())


@apply.register
def _refetch(outcome: Refetch, tx: Tx, item: Settlement) -> None:
    """The delivery waits, and burns a try, so that it cannot go in circles; its signing is fetched at once."""
    _wait(tx, item.job, outcome.delay, tries=item.job.tries + 1, waits=item.job.waits + 1)
    _explain(tx, item.job, outcome.reason)
    row = tx.connection.execute(
        sa.select(delivery.c.signing_id, delivery.c.source).where(delivery.c.id == item.job.ref)
    ).one()
    raise_wanted(tx, row.signing_id, row.source, changed=False)


def bury(tx: Tx, buried: Job, reason: str, *, held: bool) -> None:
    """The job is gone, its subject a dead letter. A signing that is held takes its waiting deliveries with it."""
    if buried.stage is Stage.FETCH:
        lock_signing(tx, buried.ref)
    _finish(tx, buried)
    table = SUBJECTS[buried.stage]
    state = "held" if held and buried.stage is not Stage.PARSE else "dead"
    change: dict[str, Any] = {"state": state, "reason": storable(reason)}
    if buried.stage is Stage.FETCH:
        change["updated"] = tx.now
    tx.connection.execute(table.update().where(table.c.id == buried.ref).values(**change))
    if buried.stage is Stage.FETCH and held:
        hold_deliveries(tx, buried.ref, reason)


def _close_event(tx: Tx, event_id: str, state: str, kind: str, sender_id: str, reason: str) -> str:
    """Returns the event's source."""
    closed = (
        event.update()
        .where(event.c.id == event_id)
        .values(state=state, type=storable(kind, 200), sender_id=storable(sender_id, 200), reason=storable(reason))
        .returning(event.c.source)
    )
    return str(tx.connection.execute(closed).scalar_one())


def _keep(tx: Tx, item: Settlement) -> tuple[Job, ...]:
    """Deliveries of the fetched signing that the same worker takes along, as far as it has free slots for them."""
    if not isinstance(item.outcome, Fetched) or not item.keep:
        return ()
    mine = sa.select(delivery.c.id).where(delivery.c.signing_id == item.job.ref, delivery.c.state == "waiting")
    kept: list[Job] = []
    for lane in item.keep.keys() - lanes.paused(tx.connection):
        which = sa.and_(job.c.stage == Stage.DELIVER.value, job.c.ref.in_(mine), job.c.lane == lane)
        kept += take(tx, "waiting", which, item.keep[lane], item.worker, item.lease)
    return tuple(kept)


def _finish(tx: Tx, done: Job) -> None:
    tx.connection.execute(job.delete().where(job.c.id == done.id))


def _start_over(tx: Tx, fetch: Job, delay: float = 0.0) -> None:
    """What was asked for while it ran is looked for as long as if it were new."""
    _wait(tx, fetch, delay, tries=0, waits=0)


def _wait(tx: Tx, waiting: Job, delay: float, *, tries: int, waits: int, doubts: int = 0) -> None:
    values = {
        "state": "waiting",
        "lease_until": None,
        "worker": "",
        "run_at": tx.now + delay,
        "tries": tries,
        "waits": waits,
        "doubts": doubts,
        "expiries": 0,
    }
    tx.connection.execute(job.update().where(job.c.id == waiting.id).values(**values))
    if delay <= 0:
        tx.made_work = True


def _explain(tx: Tx, waiting: Job, message: str) -> None:
    table = SUBJECTS[waiting.stage]
    tx.connection.execute(table.update().where(table.c.id == waiting.ref).values(reason=storable(message)))


def _record(tx: Tx, item: Settlement, word: str) -> None:
    delay = item.outcome.delay if isinstance(item.outcome, Again | Refetch) else None
    receipt = dump_receipt(item.outcome.receipt) if isinstance(item.outcome, Delivered) else None
    tx.connection.execute(
        attempt.insert(),
        {
            "stage": item.job.stage.value,
            "ref": item.job.ref,
            "claim": item.job.claim,
            "worker": item.worker,
            "started": item.started,
            "ended": item.ended,
            "outcome": word,
            "error": storable(item.error, 64),
            "message": storable(item.message),
            "next_at": None if delay is None else tx.now + delay,
            "receipt": receipt,
        },
    )


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, Again):
        return "waiting" if outcome.waiting else "again"
    if isinstance(outcome, Buried):
        return "held" if outcome.held else "dead"
    return "refetch" if isinstance(outcome, Refetch) else "done"

"""How claims end: result, attempt row, the jobs that follow, and this job gone, in one transaction for many at once.

Locks are taken in one order by everybody: signings by their ids, then jobs. A settle whose claim was lost records its
attempt as `late`, with its receipt, and changes nothing else.
"""

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from ..core.ids import storable
from ..core.outcomes import Again, Buried, Closed, Delivered, Fetched, Outcome, Parsed, Refetch, Settled, Settlement
from ..core.types import Job, Stage
from . import lanes
from .accept import REQUEUE_INTERVAL
from .claim import fenced
from .codec import dump_receipt
from .engine import Tx
from .fetched import Catch, settle_fetched
from .jobs import finish, start_over, wait
from .parsed import keys_of, settle_closed, settle_parsed
from .prepared import Prepared, PreparedEach, Row, given, inserting
from .signings import hold_deliveries, lock_signings, raise_wanted
from .tables import attempt, delivery, event, signing

_SUBJECTS = {Stage.PARSE: event, Stage.FETCH: signing, Stage.DELIVER: delivery}
_EXPLAIN = {
    stage: Prepared(table.update().where(table.c.id == given("which")).values(reason=given("why")))
    for stage, table in _SUBJECTS.items()
}
_BURY = {
    stage: Prepared(table.update().where(table.c.id == given("which")).values(state=given("how"), reason=given("why")))
    for stage, table in _SUBJECTS.items()
}
_TOUCH = Prepared(signing.update().where(signing.c.id == given("which")).values(updated=given("at")))
_DELIVERED = PreparedEach(
    {"which": delivery.c.id, "proof": delivery.c.receipt, "at": delivery.c.done},
    lambda row, _: (
        delivery.update()
        .where(delivery.c.id == row.which)
        .values(state="delivered", reason="", receipt=row.proof, progress="{}", done=row.at)
    ),
)
_VERSIONS = Prepared(
    sa.select(delivery.c.signing_id, delivery.c.source, delivery.c.version, signing.c.version.label("newest"))
    .join_from(delivery, signing)
    .where(delivery.c.id == given("which"))
)
_ATTEMPT = inserting(
    attempt,
    *("stage", "ref", "claim", "worker", "started", "ended", "outcome", "error", "message", "next_at", "receipt"),
)


Held = tuple[Settlement, Row]
"""How a claim ended that is still ours, and its job as it stands now."""


def settle(tx: Tx, items: Sequence[Settlement]) -> list[Settled]:
    """What ends well goes together, in a handful of statements; the rest one by one."""
    fetched = {item.job.ref for item in items if item.job.stage is Stage.FETCH}
    signings = lock_signings(tx, fetched | _to_fetch_again(tx, items), {key for item in items for key in keys_of(item)})
    jobs = fenced(tx, [item.job for item in items])
    found = [(_or_overtaken(tx, item), jobs.pop((item.job.id, item.job.claim), None)) for item in items]
    troubled = lanes.troubled(tx)
    paused = {lane for lane, is_paused in troubled.items() if is_paused}
    held = [(_without(item, paused), row) for item, row in found if row is not None]
    kept = _apply(tx, held, signings)
    _record(tx, [(item, "late" if row is None else _word(item.outcome)) for item, row in found])
    turns = lanes.note(tx, [item for item, _ in held], troubled)
    return [
        Settled(
            ours=row is not None,
            kept=kept.get(item.job.id, ()) if row is not None else (),
            turn=turns.pop(item.job.lane, None) if row is not None else None,
        )
        for item, row in found
    ]


def _without(item: Settlement, paused: Set[str]) -> Settlement:
    """Of a paused lane nothing is taken along."""
    if paused.isdisjoint(item.keep):
        return item
    return replace(item, keep={lane: slots for lane, slots in item.keep.items() if lane not in paused})


def _to_fetch_again(tx: Tx, items: Sequence[Settlement]) -> set[str]:
    """The signings of deliveries whose bytes are gone."""
    lost = [item.job.ref for item in items if isinstance(item.outcome, Refetch)]
    return {_VERSIONS.one(tx.driver, which=ref).signing_id for ref in lost}


def _or_overtaken(tx: Tx, item: Settlement) -> Settlement:
    """Lost bytes of an older version are served by nobody: its delivery would go in circles."""
    if not isinstance(item.outcome, Refetch):
        return item
    row = _VERSIONS.one(tx.driver, which=item.job.ref)
    if row.version == row.newest:
        return item
    reason = f"version {row.newest} replaced this version {row.version}, and the bytes of this one are gone"
    return replace(item, outcome=Buried(reason=reason), message=reason)


def _apply(tx: Tx, held: Sequence[Held], signings: Sequence[Row]) -> dict[str, tuple[Job, ...]]:
    """By job, those that its worker takes along. What events ask for comes last: a fetch that ends in the same
    transaction as they are parsed has ended before."""
    by_id, by_key = {row.id: row for row in signings}, {bytes(row.key): row for row in signings}
    caught, parsed, closed, delivered = [], [], [], []
    for item, row in held:
        match item.outcome:
            case Fetched() as outcome:
                caught.append(Catch(item, outcome, by_id[item.job.ref], row.recalled))
            case Parsed() as outcome:
                parsed.append((item, outcome))
            case Closed() as outcome:
                closed.append((item, outcome))
            case Delivered() as outcome:
                delivered.append((item, outcome))
    kept = settle_fetched(tx, caught) if caught else {}
    _deliver(tx, delivered)
    for item, row in held:
        _fail(tx, item, row)
    kept |= settle_parsed(tx, parsed, by_key) if parsed else {}
    settle_closed(tx, closed)
    return kept


def _deliver(tx: Tx, items: Sequence[tuple[Settlement, Delivered]]) -> None:
    proofs = [(item.job.ref, dump_receipt(outcome.receipt)) for item, outcome in items]
    _DELIVERED.run(tx.driver, [{"which": which, "proof": proof, "at": tx.now} for which, proof in proofs])
    finish(tx, [item.job for item, _ in items])


# --- what did not end well ----------------------------------------------------------------------------------------


def _fail(tx: Tx, item: Settlement, row: Row) -> None:
    match item.outcome:
        case Again() as outcome:
            _again(tx, item, outcome, asked_again=_asked_again(item.job, row))
        case Buried() as outcome:
            _buried(tx, item.job, outcome, asked_again=_asked_again(item.job, row), recalled=row.recalled)
        case Refetch() as outcome:
            _refetch(tx, item.job, outcome)


def _asked_again(fetch: Job, row: Row) -> bool:
    """`raise_wanted` counts up the waits of a fetch that runs."""
    return fetch.stage is Stage.FETCH and row.waits > fetch.waits


def _again(tx: Tx, item: Settlement, outcome: Again, *, asked_again: bool) -> None:
    job = item.job
    if outcome.waiting and asked_again:
        start_over(tx, job)
    else:
        tries, waits = (0, 1) if outcome.waiting else (1, 0)
        doubts = 0 if outcome.waiting or asked_again else job.doubts + outcome.doubtful
        wait(tx, job, outcome.delay, tries=job.tries + tries, waits=job.waits + waits, doubts=doubts)
    _explain(tx, job, item.message)


def _buried(tx: Tx, job: Job, outcome: Buried, *, asked_again: bool, recalled: bool) -> None:
    """An event that came while the fetch failed may know better: it gets a fetch of its own. So does a copy of one, in
    a minute, for copies may come in any number."""
    if outcome.held or not (asked_again or recalled):
        bury(tx, job, outcome.reason, held=outcome.held)
    else:
        start_over(tx, job, 0.0 if asked_again else REQUEUE_INTERVAL)
        _explain(tx, job, outcome.reason)


def _refetch(tx: Tx, job: Job, outcome: Refetch) -> None:
    """The delivery waits, and burns a try, so that it cannot go in circles; its signing is fetched at once."""
    wait(tx, job, outcome.delay, tries=job.tries + 1, waits=job.waits + 1)
    _explain(tx, job, outcome.reason)
    row = _VERSIONS.one(tx.driver, which=job.ref)
    raise_wanted(tx, row.signing_id, row.source, changed=False)


def bury(tx: Tx, buried: Job, reason: str, *, held: bool) -> None:
    """The job is gone, its subject a dead letter. A signing that is held takes its waiting deliveries with it."""
    fetch = buried.stage is Stage.FETCH
    if fetch:
        lock_signings(tx, [buried.ref])
    finish(tx, [buried])
    how = "held" if held and buried.stage is not Stage.PARSE else "dead"
    _BURY[buried.stage].run(tx.driver, which=buried.ref, how=how, why=storable(reason))
    if fetch:
        _TOUCH.run(tx.driver, which=buried.ref, at=tx.now)
        if held:
            hold_deliveries(tx, buried.ref, reason)


def _explain(tx: Tx, waiting: Job, message: str) -> None:
    _EXPLAIN[waiting.stage].run(tx.driver, which=waiting.ref, why=storable(message))


# --- the record ---------------------------------------------------------------------------------------------------


def _record(tx: Tx, items: Sequence[tuple[Settlement, str]]) -> None:
    _ATTEMPT.run(tx.driver, [_attempt_row(tx, item, word) for item, word in items])


def _attempt_row(tx: Tx, item: Settlement, word: str) -> dict[str, Any]:
    delay = item.outcome.delay if isinstance(item.outcome, Again | Refetch) else None
    return {
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
        "receipt": dump_receipt(item.outcome.receipt) if isinstance(item.outcome, Delivered) else None,
    }


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, Again):
        return "waiting" if outcome.waiting else "again"
    if isinstance(outcome, Buried):
        return "held" if outcome.held else "dead"
    return "refetch" if isinstance(outcome, Refetch) else "done"

"""What parses found: events are closed, the signings that they speak of are made or wanted once more."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.ids import storable
from ..core.outcomes import Closed, Parsed, Settlement
from ..core.types import Job, Meaning, Stage, lane_party
from ..core.work import SigningRow
from .engine import Tx
from .jobs import finish, insert_jobs, insert_running, new_job
from .prepared import PreparedEach, Row
from .signings import Want, create, link, look_now, signing_key, signing_of, want_again
from .tables import event

_CLOSE = PreparedEach(
    {
        "which": event.c.id,
        "new_state": event.c.state,
        "new_type": event.c.type,
        "new_sender": event.c.sender_id,
        "new_reason": event.c.reason,
    },
    lambda row, _: (
        event.update()
        .where(event.c.id == row.which)
        .values(state=row.new_state, type=row.new_type, sender_id=row.new_sender, reason=row.new_reason)
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One want of an event, and the settlement of the parse that found it."""

    want: Want
    item: Settlement


def keys_of(item: Settlement) -> list[bytes]:
    """Of the signings that a parse speaks of."""
    if isinstance(item.outcome, Parsed):
        return [want.key for want in _wants(item, item.outcome)]
    if isinstance(item.outcome, Closed):
        return sorted(signing_key(_source(item), ref) for ref in item.outcome.concerns)
    return []


def settle_closed(tx: Tx, items: Sequence[tuple[Settlement, Closed]]) -> None:
    _close(tx, "ignored", items)
    for item, _ in items:
        for key in keys_of(item):
            look_now(tx, key, item.job.ref)


def settle_parsed(
    tx: Tx, items: Sequence[tuple[Settlement, Parsed]], known: Mapping[bytes, Row]
) -> dict[str, tuple[Job, ...]]:
    """By parse job, the fetches of new signings that its worker takes along, as far as it has free slots for them.
    `known` are the signings that were there when they were locked."""
    _close(tx, "parsed", items)
    asked = [Asked(want=want, item=item) for item, outcome in items for want in _wants(item, outcome)]
    asked.sort(key=lambda one: one.want.key)
    firsts = {one.want.key: one for one in reversed(asked)}
    made = create(tx, {key: (one.want.source, one.want.ref) for key, one in firsts.items() if key not in known})
    link(tx, [(signing_id, firsts[key].want.event_id) for key, signing_id in made.items()])
    once = {key for key, times in Counter(one.want.key for one in asked).items() if times == 1}
    kept = _fetches(tx, [(firsts[key], signing_id, key in once) for key, signing_id in made.items()])
    for one in asked:
        key = one.want.key
        if key not in made or one is not firsts[key]:
            signing_id = made.get(key) or (known[key].id if key in known else signing_of(tx, key))
            want_again(tx, signing_id, one.want)
    return kept


def _fetches(tx: Tx, made: Sequence[tuple[Asked, str, bool]]) -> dict[str, tuple[Job, ...]]:
    """Jobs for new signings. One that is wanted twice at this very moment waits: as it would be taken along, the
    second want had no place in it."""
    free: dict[str, Counter[str]] = {one.item.job.id: Counter(one.item.keep) for one, _, _ in made}
    kept: dict[str, list[Job]] = defaultdict(list)
    running: list[tuple[Job, str]] = []
    waiting: list[tuple[str, str]] = []
    for one, signing_id, once in made:
        item, lane = one.item, one.item.job.lane
        if once and free[item.job.id][lane] > 0:
            free[item.job.id][lane] -= 1
            job = new_job(tx, Stage.FETCH, (lane, signing_id), item.lease, _as_row(tx, one.want, signing_id))
            kept[item.job.id].append(job)
            running.append((job, item.worker))
        else:
            waiting.append((lane, signing_id))
    insert_running(tx, running)
    insert_jobs(tx, Stage.FETCH, waiting)
    return {job_id: tuple(jobs) for job_id, jobs in kept.items()}


def _close(tx: Tx, state: str, items: Sequence[tuple[Settlement, Parsed | Closed]]) -> None:
    rows = [
        {
            "which": item.job.ref,
            "new_state": state,
            "new_type": storable(outcome.type, 200),
            "new_sender": storable(outcome.sender_id, 200),
            "new_reason": storable(outcome.reason) if isinstance(outcome, Closed) else "",
        }
        for item, outcome in items
    ]
    _CLOSE.run(tx.driver, rows)
    finish(tx, [item.job for item, _ in items])


def _wants(item: Settlement, outcome: Parsed) -> list[Want]:
    """In the order of their keys, as everybody locks and inserts them."""
    wants = [
        Want(
            event_id=item.job.ref,
            source=_source(item),
            ref=ref,
            changed=meaning is Meaning.CHANGED,
            key=signing_key(_source(item), ref),
        )
        for ref, meaning in outcome.documents
    ]
    return sorted(wants, key=lambda want: want.key)


def _source(item: Settlement) -> str:
    return lane_party(item.job.lane)


def _as_row(tx: Tx, want: Want, signing_id: str) -> SigningRow:
    return SigningRow(
        id=signing_id,
        source=want.source,
        ref=want.ref,
        state="fetching",
        wanted=1,
        fetched=0,
        change=0,
        version=0,
        released=False,
        created=tx.now,
        parts=(),
        supplements=0,
    )

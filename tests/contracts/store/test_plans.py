"""How both databases carry out the store's statements among a million rows: by which index, and at what effort.

What is explained are the statements that the store sends, whichever way they go to the driver.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.crowd import SINK, SOURCE, Crowd, fill
from tests.plans import Plan, Watched, watched
from webhook_svc.core.asking import Query
from webhook_svc.core.ids import digest, new_id
from webhook_svc.core.lanes import COUNTED
from webhook_svc.core.outcomes import Again, Buried, Closed, Delivered, Fetched, Outcome, Parsed, Settlement
from webhook_svc.core.outgoing import Listed
from webhook_svc.core.types import DocumentRef, Meaning, Part, RawRequest, Receipt
from webhook_svc.core.work import Claims, NewDelivery, NewEvent, Reconciled, Wish
from webhook_svc.store.lanes import CANDIDATES
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.sweep import PURGE_BATCH
from webhook_svc.store.tables import attempt, content, delivery, event, job, lane, part, payload, signing, signing_event

CROWD = Crowd(finished=20_000, waiting=80_000, body=0)
"""A million rows in all: each signing has nine or ten."""

NUMBER = 50_000
LARGE = {table.name for table in (attempt, content, delivery, event, job, part, payload, signing, signing_event)}

EFFORT = {"sqlite": 200, "postgres": 10}
"""Steps, or rows looked at, that one row of an answer, or of a change, may cost."""

KEYS = {
    "sqlite": {"event_key": "sqlite_autoindex_event_2", "job_ref": "sqlite_autoindex_job_2"},
    "postgres": {"event_key": "event_key_key", "job_ref": "uq_job_stage_ref"},
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def crowded(kind: str, fresh_url: Callable[[str], str]) -> Iterator[Watched]:
    """Filled once for all tests here, which leave it nearly as it was."""
    url = fresh_url(kind)
    fill(url, CROWD)
    with watched(url) as found:
        yield found


@pytest.fixture
def explained(kind: str, crowded: Watched) -> Callable[..., None]:
    """Holds that `act` reads no large table from end to end, takes no more than for `rows`, and uses `indexes`."""

    def hold(act: Callable[[SqlStore], object], *indexes: str, rows: int = 50) -> None:
        plans = crowded.plans(act)
        assert [] == [plan.statement for plan in plans if plan.scanned & LARGE]
        assert [] == [(plan.effort, plan.statement) for plan in plans if plan.effort > rows * EFFORT[kind] + 100]
        wanted = {KEYS[kind].get(index, index) for index in indexes}
        assert wanted <= _used(plans)

    return hold


def test_accepting_goes_by_the_key(explained: Callable[..., None], kind: str) -> None:
    new = _event()
    # SQLite does not say by which index it finds a conflict.
    explained(lambda store: store.accept(new, 20.0), *(["event_key"] if kind == "postgres" else []))
    explained(lambda store: store.accept(new, 20.0), "event_key")


def test_an_idle_worker_looks_through_the_index_of_what_waits(explained: Callable[..., None]) -> None:
    explained(lambda store: store.claim(_wish("source:quiet")), "ix_job_claim", "ix_job_suspect")


def test_claiming_takes_what_is_due_longest_from_the_index_of_what_waits(explained: Callable[..., None]) -> None:
    claimed: list[Claims] = []
    explained(lambda store: claimed.append(store.claim(_wish())), "ix_job_claim", "ix_job_suspect")
    explained(lambda store: store.renew(claimed[0].jobs, 60.0))
    explained(lambda store: store.holds(claimed[0].jobs[0]))
    explained(lambda store: store.save_progress(claimed[0].jobs[0], {}))
    explained(lambda store: store.give_back(claimed[0].jobs))


def test_a_paused_lane_costs_nothing_and_its_probe_little(explained: Callable[..., None], crowded: Watched) -> None:
    name, claimed = f"sink:{SINK}", list[Claims]()
    trouble = {"name": name, "failures": 5, "job": "", "since": 0.0, "reason": "away"}
    with crowded.store.database.write() as tx:
        tx.connection.execute(lane.insert(), {**trouble, "until": tx.now + 60})
    explained(lambda store: claimed.append(store.claim(_wish(name))), rows=1)
    with crowded.store.database.write() as tx:
        tx.connection.execute(lane.update().values(until=1.0))
    explained(lambda store: claimed.append(store.claim(_wish(name))), "ix_job_claim", rows=2 * CANDIDATES)
    assert [0, 1] == [len(one.jobs) for one in claimed]
    crowded.store.give_back(claimed[1].jobs)
    with crowded.store.database.write() as tx:
        tx.connection.execute(lane.delete())


def test_settling_touches_only_what_it_is_about(explained: Callable[..., None], crowded: Watched) -> None:
    store = crowded.store
    store.accept(_event(), 20.0)
    documents = ((DocumentRef(id="fresh"), Meaning.READY),)
    _settle(explained, store, Parsed(type="", sender_id="", documents=documents))
    file = Part(kind="document", name="a.pdf", sha256="ab" * 32, size=1, content_type="application/pdf")
    made = NewDelivery(
        id=new_id("dlv", time.time()),
        sink="quiet",
        supplement=0,
        parts=(file,),
        paths=("a.pdf",),
        manifest=b"{}",
        manifest_path="m.json",
    )
    _settle(explained, store, Fetched(wanted=1, version=1, title="", parts=(file,), deliveries=(made,)))
    _settle(explained, store, Again(delay=0.0), where="sink:quiet")
    _settle(explained, store, Delivered(receipt=Receipt(location="there", proof="")), where="sink:quiet")


@pytest.mark.parametrize("outcome", [Closed(type="", sender_id="", reason="nothing"), Buried(reason="unreadable")])
def test_closing_an_event_touches_only_what_it_is_about(
    explained: Callable[..., None], crowded: Watched, outcome: Outcome
) -> None:
    crowded.store.accept(_event(), 20.0)
    _settle(explained, crowded.store, outcome)


def test_the_stages_read_their_subject_by_its_key(explained: Callable[..., None]) -> None:
    explained(lambda store: store.event(_id("evt")))
    explained(lambda store: store.signing(_id("sgn")), "ix_delivery_signing_id")
    explained(lambda store: store.delivery(_id("dlv")))
    explained(lambda store: store.needed(["ab" * 32], 0.0), "ix_part_sha256")


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        (Query(kind="events"), []),
        (Query(kind="events", source=SOURCE), []),
        (Query(kind="events", source="quiet"), ["ix_event_source_id"]),
        (Query(kind="events", state="accepted"), ["job_ref"]),
        (Query(kind="events", state="accepted", source=SOURCE), ["job_ref"]),
        (Query(kind="events", state="dead", source=SOURCE), ["ix_event_dead"]),
        (Query(kind="deliveries"), []),
        (Query(kind="deliveries", sink=SINK), []),
        (Query(kind="deliveries", sink="quiet"), ["ix_delivery_sink_id"]),
        (Query(kind="deliveries", source="quiet"), ["ix_delivery_source_id"]),
        (Query(kind="deliveries", state="waiting"), ["job_ref"]),
        (Query(kind="deliveries", state="waiting", sink=SINK), ["job_ref"]),
        (Query(kind="deliveries", state="held", sink=SINK), ["ix_delivery_dead"]),
        (Query(kind="dead"), ["ix_event_dead", "ix_signing_dead", "ix_delivery_dead"]),
        (Query(kind="dead", source=SOURCE), ["ix_event_dead", "ix_signing_dead", "ix_delivery_dead"]),
        (Query(kind="dead", sink=SINK), ["ix_delivery_dead"]),
        (Query(kind="refused"), []),
        (Query(kind="refused", source=SOURCE), []),
    ],
    ids=lambda value: (
        " ".join(filter(None, (value.kind, value.source, value.sink, value.state))) if isinstance(value, Query) else ""
    ),
)
def test_a_page_of_a_listing_reads_its_rows_and_no_others(
    explained: Callable[..., None], query: Query, indexes: Sequence[str]
) -> None:
    explained(lambda store: store.list(query), *indexes)


@pytest.mark.parametrize("state", ["", "waiting"])
def test_a_page_in_the_middle_costs_what_the_first_does(explained: Callable[..., None], state: str) -> None:
    explained(lambda store: store.list(Query(kind="deliveries", state=state, before=_id("dlv"))))


@pytest.mark.parametrize("prefix", ["evt", "sgn", "dlv"])
def test_a_story_is_found_by_its_ids(explained: Callable[..., None], prefix: str) -> None:
    explained(lambda store: store.timeline(_id(prefix)), "job_ref", "ix_attempt_ref_id")


def test_a_lane_is_counted_only_so_far(explained: Callable[..., None], crowded: Watched) -> None:
    explained(lambda store: store.gauges(), "ix_job_claim", "ix_job_suspect", "ix_job_lease", rows=COUNTED)
    explained(lambda store: store.lanes(), "ix_job_claim", rows=COUNTED)
    explained(lambda store: store.lane_rows(), "ix_job_claim", rows=COUNTED)
    assert COUNTED <= crowded.store.lanes()[f"sink:{SINK}"] < CROWD.waiting / 2


def test_a_sweep_finds_what_died_and_what_is_old_by_their_times(explained: Callable[..., None]) -> None:
    indexes = "ix_job_lease", "ix_payload_received", "ix_attempt_ended"
    explained(lambda store: store.sweep("w1"), *indexes, rows=PURGE_BATCH)


def test_what_a_provider_lists_is_looked_up_by_key(explained: Callable[..., None], crowded: Watched) -> None:
    rows = [Listed(ref=DocumentRef(id=f"listed-{number}"), completed=None) for number in range(50)]
    explained(lambda store: store.unheard(SOURCE, rows), "event_key")
    look = crowded.store.look(SOURCE, "w1", 60.0)
    assert look is not None
    explained(lambda store: store.reconciled(Reconciled(look=look, rows=tuple(rows), whole=True)))


def test_readiness_is_told_without_counting(explained: Callable[..., None]) -> None:
    explained(lambda store: store.ready(), rows=1)
    explained(lambda store: store.unserved(), "ix_job_claim", rows=1)


def _event() -> NewEvent:
    number = new_id("evt", time.time())
    return NewEvent(
        id=number,
        key=digest("event", number),
        source="quiet",
        delivery_id="",
        verified_by="",
        hint=False,
        request=RawRequest(path="/hooks/quiet", body=b"{}"),
    )


def _wish(*lanes: str) -> Wish:
    asked = dict.fromkeys(lanes or (f"source:{SOURCE}", f"sink:{SINK}"), 32)
    return Wish(worker="w1", lanes=asked, total=32, lease=60.0, idle=True)


def _settle(hold: Callable[..., None], store: SqlStore, outcome: Outcome, where: str = "source:quiet") -> None:
    (claimed,) = store.claim(_wish(where)).jobs
    hold(lambda other: other.settle(Settlement(job=claimed, outcome=outcome, started=0.0, ended=0.0)))


def _id(prefix: str) -> str:
    return f"{prefix}_0w{NUMBER:024}"


def _used(plans: Sequence[Plan]) -> set[str]:
    return {index for plan in plans for index in plan.indexes}

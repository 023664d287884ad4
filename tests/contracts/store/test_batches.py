"""Many settlements in one transaction, on both stores: each has the effect that it has alone."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from webhook_svc.core.outcomes import Again, Buried, Closed, Delivered, Outcome, Refetch, Settled, Settlement
from webhook_svc.core.types import DocumentRef, Job, Meaning, Stage
from webhook_svc.core.work import DeliveryRow, EventRow, SigningRow
from webhook_svc.store import settle
from webhook_svc.store.read import SMALL
from webhook_svc.store.tables import attempt, delivery, event, job, signing, signing_event

KEEP = {"source:contracts": 1, "sink:archive": 1}
Batch = Callable[..., list[Settled]]


@pytest.fixture
def batch(life: Any) -> Batch:
    def run(pairs: Sequence[tuple[Job, Outcome]], **more: Any) -> list[Settled]:
        now = life.clock()
        values = {"started": now, "ended": now, "worker": "w1", **more}
        with life.store.database.write() as tx:
            return settle.settle(tx, [Settlement(job=one, outcome=outcome, **values) for one, outcome in pairs])

    return run


@pytest.fixture
def parses(life: Any) -> Callable[[int], list[Job]]:
    def claimed(count: int) -> list[Job]:
        for _ in range(count):
            life.fresh()
        return list(life.claim("source:contracts").jobs)

    return claimed


def test_documents_go_all_the_way_in_three_transactions_without_another_claim(
    life: Any, words: Any, batch: Batch, parses: Any
) -> None:
    parsed = batch([(one, words.said(f"d{number}")) for number, one in enumerate(parses(5))], keep=KEEP)
    fetches = [one for settled in parsed for one in settled.kept]
    bundles = [words.bundle() for _ in fetches]
    haul = [(one, words.fetched(deliveries=(new,))) for one, new in zip(fetches, bundles, strict=True)]
    delivers = [one for settled in batch(haul, keep=KEEP) for one in settled.kept]
    assert [one.id for one in bundles] == [one.ref for one in delivers]
    assert all(life.store.holds(one) for one in delivers)
    batch([(one, Delivered(receipt=words.receipt(one.ref))) for one in delivers])
    assert [] == life.rows(job)
    assert {"delivered": 5} == Counter(row["state"] for row in life.rows(delivery))
    assert {("complete", 1)} == {(row["state"], row["fetched"]) for row in life.rows(signing)}
    assert {("parse", "done"): 5, ("fetch", "done"): 5, ("deliver", "done"): 5} == Counter(
        (row["stage"], row["outcome"]) for row in life.rows(attempt)
    )
    assert all(one.ref in life.row(delivery, id=one.ref)["receipt"] for one in delivers)


def test_what_is_taken_along_comes_with_the_row_that_its_stage_reads(
    life: Any, words: Any, batch: Batch, parses: Any
) -> None:
    (parse,) = parses(1)
    assert life.store.event(parse.ref) == parse.row
    ((fetch,),) = [one.kept for one in batch([(parse, words.said("d1"))], keep=KEEP)]
    assert life.store.signing(fetch.ref) == fetch.row
    ((deliver,),) = [one.kept for one in batch([(fetch, words.fetched(deliveries=(words.bundle(),)))], keep=KEEP)]
    assert life.store.delivery(deliver.ref) == deliver.row
    assert [EventRow, SigningRow, DeliveryRow] == [type(one.row) for one in (parse, fetch, deliver)]


def test_a_large_event_is_left_to_whoever_parses_it(life: Any) -> None:
    life.accept(b"x" * (SMALL + 1))
    assert life.job(Stage.PARSE).row is None


def test_a_fetch_without_a_slot_waits_for_a_claim(life: Any, words: Any, batch: Batch, parses: Any) -> None:
    (parse,) = parses(1)
    (settled,) = batch([(parse, words.said("d1", "d2", "d3"))], keep={"source:contracts": 2})
    assert (2, 1) == (len(settled.kept), len(life.claim("source:contracts").jobs))


def test_a_signing_that_is_wanted_twice_at_once_is_one_and_is_fetched_once_for_both(
    life: Any, words: Any, batch: Batch, parses: Any
) -> None:
    settled = batch([(one, words.said("d1")) for one in parses(2)], keep=KEEP)
    assert [(), ()] == [one.kept for one in settled]
    assert (2, 2) == (life.row(signing)["wanted"], len(life.rows(signing_event)))
    assert 2 == life.store.signing(life.job(Stage.FETCH).ref).wanted


def test_each_ends_as_it_would_alone_whatever_ends_beside_it(life: Any, words: Any, batch: Batch, parses: Any) -> None:
    said = {one.ref: document for one, document in zip(parses(6), "abcdef", strict=True)}
    first = list(life.rows(job))
    assert 6 == len(first)
    life.clock.advance(61)
    life.store.sweep("w2")
    again = {one.ref: one for one in life.claim("source:contracts").jobs}
    done = batch([(one, words.said(said[one.ref])) for one in again.values()], keep={"source:contracts": 1})
    fetch = {said[event_id]: settled.kept[0] for event_id, settled in zip(again, done, strict=True)}
    late = again[next(iter(again))]
    life.fresh()
    life.fresh()
    closing, wanting = life.claim("source:contracts").jobs
    gone = DocumentRef(id="e")
    results = batch(
        [
            (fetch["a"], words.fetched(deliveries=(words.bundle(),))),
            (fetch["b"], Again(delay=30)),
            (fetch["c"], Buried(reason="404")),
            (fetch["d"], words.fetched(lacking=("certificate",), look_again=40)),
            (late, words.said("late")),
            (closing, Closed(type="t", sender_id="", reason="declined", concerns=(gone,))),
            (wanting, words.said("c", "b", "new", meaning=Meaning.READY)),
        ]
    )
    assert [True, True, True, True, False, True, True] == [one.ours for one in results]
    states = {row["document"]: row["state"] for row in life.rows(signing)}
    assert dict.fromkeys("bcdef", "fetching") | {"a": "complete", "new": "fetching"} == states
    wanted = {row["document"]: row["wanted"] for row in life.rows(signing)}
    assert dict.fromkeys("adef", 1) | {"b": 2, "c": 2, "new": 1} == wanted
    waiting = {row["ref"]: row["run_at"] - life.clock() for row in life.rows(job, stage="fetch", state="waiting")}
    ids = {row["document"]: row["id"] for row in life.rows(signing)}
    assert {ids["b"]: 30.0, ids["c"]: 0.0, ids["d"]: 40.0, ids["new"]: 0.0} == waiting
    assert "ignored" == life.row(event, id=closing.ref)["state"]
    attempts = sorted(life.rows(attempt), key=lambda row: row["id"])
    assert ["done", "again", "dead", "done", "late", "done", "done"] == [row["outcome"] for row in attempts[-7:]]


def test_deliveries_that_lost_their_bytes_ask_for_one_fetch_each(
    life: Any, words: Any, batch: Batch, parses: Any
) -> None:
    parsed = batch([(one, words.said(f"d{number}")) for number, one in enumerate(parses(2))], keep=KEEP)
    haul = [(one, words.fetched(deliveries=(words.bundle(),))) for settled in parsed for one in settled.kept]
    delivers = [one for settled in batch(haul, keep=KEEP) for one in settled.kept]
    batch([(one, Refetch(reason="gone")) for one in delivers])
    assert {("fetching", 2)} == {(row["state"], row["wanted"]) for row in life.rows(signing)}
    assert 2 == len(life.claim("source:contracts").jobs)

"""A person's decisions, on both stores: what may live again, under which words, and that it is written down."""

from typing import Any

import pytest

from webhook_svc.core.asking import Replayed, ReplayOrder
from webhook_svc.core.outcomes import Buried, Closed, Delivered, Refetch
from webhook_svc.core.types import Meaning, Stage
from webhook_svc.store.tables import attempt, delivery, event, job, signing


def replay(life: Any, *ids: str, **order: Any) -> Replayed:
    done: list[Replayed] = life.store.replay(ReplayOrder(ids=ids, **order))
    return done[0]


def dead_event(life: Any, words: Any) -> str:  # noqa: ARG001 - one signature
    event_id: str = life.fresh()
    life.settle(life.job(Stage.PARSE), Buried(reason="not understood"))
    return event_id


def dead_signing(life: Any, words: Any, *, held: bool = False, error: str = "") -> str:  # noqa: ARG001 - one signature
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    life.settle(fetch, Buried(reason="why", held=held), error=error)
    return str(fetch.ref)


def dead_delivery(life: Any, words: Any, *, held: bool = False) -> str:
    life.fetch("d1", deliveries=(words.bundle(),))
    deliver = life.job(Stage.DELIVER)
    life.settle(deliver, Buried(reason="why", held=held))
    return str(deliver.ref)


DEAD = {Stage.PARSE: dead_event, Stage.FETCH: dead_signing, Stage.DELIVER: dead_delivery}


@pytest.mark.parametrize("stage", Stage)
def test_a_dead_letter_of_each_kind_lives_again_with_tries_anew(life: Any, words: Any, stage: Stage) -> None:
    some_id = DEAD[stage](life, words)
    assert replay(life, some_id, reason="cured").ok
    again = life.job(stage)
    assert (some_id, 0) == (again.ref, again.tries)
    noted = life.row(attempt, outcome="replay")
    assert (some_id, "cured", stage.value) == (noted["ref"], noted["message"], noted["stage"])


@pytest.mark.parametrize("stage", Stage)
def test_a_dry_run_changes_nothing(life: Any, words: Any, stage: Stage) -> None:
    done = replay(life, DEAD[stage](life, words), dry_run=True)
    assert done.ok
    assert ([], []) == (life.rows(job), life.rows(attempt, outcome="replay"))


@pytest.mark.parametrize("kind", [dead_signing, dead_delivery])
def test_what_is_held_needs_a_release(life: Any, words: Any, kind: Any) -> None:
    some_id = kind(life, words, held=True)
    refused = replay(life, some_id, again=True, reason="because")
    assert (False, []) == (refused.ok, life.rows(job))
    assert "--release" in refused.what
    assert replay(life, some_id, release=True).ok
    assert some_id == life.claim().jobs[0].ref


def test_a_released_signing_takes_other_bytes_as_a_change_and_its_deliveries_along(life: Any, words: Any) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    life.store.give_back(life.claim().jobs)
    life.fresh()
    life.settle(life.claim("source:contracts").jobs[0], words.said("d1", meaning=Meaning.CHANGED))
    fetch = life.claim("source:contracts").jobs[0]
    life.settle(fetch, Buried(reason="other bytes", held=True))
    assert "held" == life.row(delivery)["state"]
    assert replay(life, fetch.ref, release=True).ok
    found = life.store.signing(fetch.ref)
    assert ("fetching", found.wanted) == (found.state, found.change)
    assert {Stage.FETCH, Stage.DELIVER} == {one.stage for one in life.claim().jobs}


@pytest.mark.parametrize(("error", "released"), [("DocumentCheckFailed", True), ("Held", False), ("Conflict", False)])
def test_only_the_release_of_a_failed_document_check_lets_the_document_through(
    life: Any, words: Any, error: str, released: bool
) -> None:
    some_id = dead_signing(life, words, held=True, error=error)
    assert replay(life, some_id, release=True).ok
    assert released is life.store.signing(some_id).released


def test_a_second_hold_for_other_bytes_takes_the_first_release_back(life: Any, words: Any) -> None:
    some_id = dead_signing(life, words, held=True, error="DocumentCheckFailed")
    replay(life, some_id, release=True)
    life.settle(life.job(Stage.FETCH), Buried(reason="other bytes", held=True), error="Held")
    replay(life, some_id, release=True)
    assert life.store.signing(some_id).released is False


def test_the_delivery_of_a_version_that_a_release_replaced_is_a_dead_letter(life: Any, words: Any) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    life.settle(life.job(Stage.DELIVER), Refetch(reason="gone"))
    fetch = life.job(Stage.FETCH)
    life.settle(fetch, Buried(reason="other bytes", held=True), error="Held")
    assert replay(life, fetch.ref, release=True).ok
    life.settle(life.claim("sink:archive").jobs[0], Refetch(reason="gone"))
    other = words.part("other.pdf")
    fresh = words.fetched(wanted=4, version=2, parts=(other,), deliveries=(words.bundle(other),))
    life.settle(life.job(Stage.FETCH), fresh)
    for one in life.claim("sink:archive").jobs:
        first = life.store.delivery(one.ref).version == 1
        life.settle(one, Refetch(reason="gone") if first else Delivered(receipt=words.receipt()))
    assert {1: "dead", 2: "delivered"} == {row["version"]: row["state"] for row in life.rows(delivery)}
    assert [] == life.rows(job)


@pytest.mark.parametrize("stage", Stage)
def test_work_of_a_lane_that_nobody_serves_is_refused_and_says_why(life: Any, words: Any, stage: Stage) -> None:
    party = "sink 'archive'" if stage is Stage.DELIVER else "source 'contracts'"
    some_id = DEAD[stage](life, words)
    elsewhere = frozenset({"source:inhouse", "sink:legal"})
    assert f"its {party} is not configured" == replay(life, some_id, lanes=elsewhere).what
    assert replay(life, some_id, lanes=frozenset({"source:contracts", "sink:archive"})).ok
    assert "it is on its way already" == replay(life, some_id).what
    assert f"its {party} is not configured" == replay(life, some_id, lanes=elsewhere).what


def test_finished_work_is_repeated_only_with_a_reason(life: Any, words: Any) -> None:
    delivery_id = life.deliver("d1")
    ids = {"event": life.row(event)["id"], "signing": life.row(signing)["id"], "delivery": delivery_id}
    for some_id in ids.values():
        for order in ({}, {"again": True}, {"reason": "lost"}):
            assert not replay(life, some_id, **order).ok
    assert [] == life.rows(job)
    for some_id in ids.values():
        assert replay(life, some_id, again=True, reason="the bucket was emptied").ok
    assert set(ids.values()) == {one.ref for one in life.claim().jobs}
    assert 2 == life.store.signing(ids["signing"]).change
    assert (None, "waiting") == ((row := life.row(delivery))["receipt"], row["state"])
    assert words.receipt().location in life.row(attempt, ref=delivery_id, outcome="done")["receipt"]


def test_an_ignored_event_is_parsed_again_without_further_words(life: Any) -> None:
    event_id = life.fresh()
    life.settle(life.job(Stage.PARSE), Closed(type="", sender_id="", reason="nothing"))
    assert replay(life, event_id).ok
    assert event_id == life.job(Stage.PARSE).ref


def test_what_is_on_its_way_is_left_alone(life: Any, words: Any) -> None:
    event_id = life.fresh()
    assert not replay(life, event_id, again=True, release=True, reason="x").ok
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    assert not replay(life, life.row(signing)["id"], again=True, release=True, reason="x").ok
    life.settle(life.job(Stage.FETCH), words.fetched(deliveries=(words.bundle(),)))
    assert not replay(life, life.row(delivery)["id"], again=True, release=True, reason="x").ok


def test_an_event_without_its_bytes_is_not_parsed_again(life: Any) -> None:
    event_id = life.fresh()
    life.settle(life.job(Stage.PARSE), Closed(type="", sender_id="", reason="nothing"))
    life.clock.advance(100 * 86400)
    life.store.sweep("w1")
    assert "its bytes are no longer kept" == replay(life, event_id).what


@pytest.mark.parametrize(
    "some_id", ["evt_unknown", "sgn_unknown", "dlv_unknown", "job_1", "", "\x00", "evt_\ud800\x00"]
)
def test_an_unknown_id_is_told_apart_from_the_others(life: Any, words: Any, some_id: str) -> None:
    known = dead_event(life, words)
    done = life.store.replay(ReplayOrder(ids=(some_id, known)))
    assert [(some_id, False), (known, True)] == [(one.id, one.ok) for one in done]


def test_a_delivery_that_was_repeated_ends_in_a_new_receipt(life: Any, words: Any) -> None:
    delivery_id = life.deliver("d1")
    replay(life, delivery_id, again=True, reason="x")
    life.settle(life.job(Stage.DELIVER), Delivered(receipt=words.receipt("second")))
    assert "second" in life.row(delivery)["receipt"]

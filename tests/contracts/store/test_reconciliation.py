"""What a provider's list tells becomes events once, on both stores; how far it was read moves with them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from webhook_svc.core.asking import Query, ReplayOrder
from webhook_svc.core.outcomes import Buried, Delivered, Fetched, Parsed
from webhook_svc.core.outgoing import Listed
from webhook_svc.core.types import DocumentRef, Meaning, Stage
from webhook_svc.core.work import Listing, Look, Reconciled
from webhook_svc.store import reconcile
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import event, job, payload, reconciliation, signing

HOLD = 60.0
HOSTILE = ["\x00\ud800", "évènement 契約", "x" * 5000]


def listed(*documents: str, completed: float | None = None, **ref: Any) -> tuple[Listed, ...]:
    return tuple(Listed(ref=DocumentRef(id=one, **ref), completed=completed) for one in documents)


def begin(life: Any, worker: str = "w1", *, due: bool = True) -> Look:
    look = life.store.look("contracts", worker, HOLD, due=due)
    assert isinstance(look, Look)
    return look


def end(life: Any, look: Look, *documents: str, newest: float | None = None, **more: Any) -> Any:
    values = {"rows": listed(*documents), "whole": True, "newest": newest, "next_in": 1800.0, **more}
    return life.store.reconciled(Reconciled(look=look, **values))


def documents(rows: Any) -> list[str]:
    return sorted(row.ref.id for row in rows)


# --- whose turn it is ---------------------------------------------------------------------------------------------


def test_a_source_that_was_never_looked_at_is_read_from_the_present_on(life: Any) -> None:
    assert {} == life.store.reconciliations()
    assert Look(source="contracts", worker="w1", mark=life.clock(), hold=HOLD) == begin(life)


def test_one_worker_looks_at_a_time(life: Any, open_store: Callable[[], SqlStore], at_once: Any) -> None:
    other = open_store()
    taken = at_once(
        *(lambda store=store, name=name: store.look("contracts", name, HOLD) for store, name in _workers(life, other))
    )
    assert 1 == len([one for one in taken if one])
    assert life.store.look("contracts", "w9", HOLD, due=False) is None
    row = life.store.reconciliations()["contracts"]
    assert (False, next(one.worker for one in taken if one)) == (row.due, row.held_by)


def _workers(life: Any, other: SqlStore) -> list[tuple[SqlStore, str]]:
    return [(store, f"w{number}{letter}") for number in range(4) for letter, store in (("a", life.store), ("b", other))]


def test_sources_do_not_keep_each_other_waiting(life: Any) -> None:
    begin(life)
    assert life.store.look("inhouse", "w1", HOLD) is not None


def test_the_next_look_is_due_when_its_time_has_come_but_a_person_need_not_wait(life: Any) -> None:
    end(life, begin(life), next_in=1800.0)
    assert (False, None) == (life.store.reconciliations()["contracts"].due, life.store.look("contracts", "w1", HOLD))
    end(life, begin(life, due=False), next_in=None)
    life.clock.advance(1799)
    assert life.store.look("contracts", "w1", HOLD) is None
    life.clock.advance(1)
    assert life.store.reconciliations()["contracts"].due
    begin(life)


def test_what_a_worker_that_died_was_looking_at_is_taken_over(life: Any) -> None:
    dead = begin(life, "dead")
    life.clock.advance(HOLD)
    assert life.store.look("contracts", "w2", HOLD) is None
    life.clock.advance(1)
    assert dead.mark == begin(life, "w2").mark


def test_a_look_that_is_held_on_to_is_not_taken_over(life: Any) -> None:
    look = begin(life)
    life.clock.advance(HOLD - 1)
    assert life.store.hold(look)
    life.clock.advance(HOLD - 1)
    assert life.store.look("contracts", "w2", HOLD) is None
    life.clock.advance(2)
    begin(life, "w2")
    assert not life.store.hold(look)


# --- what was listed ----------------------------------------------------------------------------------------------


def test_a_listed_signing_becomes_an_event_of_its_own_with_its_ref(life: Any) -> None:
    ref = DocumentRef(id="d1", round="2", name="Deed", completed=7.0, hints={"workspace": "w"})
    noted = end(life, begin(life), rows=(Listed(ref=ref, completed=7.0),))
    assert ([ref], 0, True) == ([row.ref for row in noted.new], noted.known, noted.ours)
    row = life.row(event)
    assert ("listed", "listed", "accepted", "", False) == tuple(
        row[name] for name in ("origin", "type", "state", "verified_by", "hint")
    )
    found = life.store.event(life.job(Stage.PARSE).ref)
    assert (ref, row["size"]) == (found.listed, len(found.request.body))


def test_a_callback_is_no_listed_event(life: Any) -> None:
    life.accept(b"bytes")
    assert (None, "callback") == (life.store.event(life.job(Stage.PARSE).ref).listed, life.row(event)["origin"])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_of_a_list_is_stored_and_comes_back(life: Any, text: str) -> None:
    ref = DocumentRef(id=text, round=text, name=text, hints={"x": text})
    end(life, begin(life), rows=(Listed(ref=ref),), note=text)
    assert ref == life.store.event(life.job(Stage.PARSE).ref).listed
    assert 1000 >= len(life.store.reconciliations()["contracts"].note)


def test_what_a_signing_exists_of_is_known_and_so_is_what_was_listed_before(life: Any) -> None:
    life.fetch("d1")
    first = end(life, begin(life), "d1", "d2", "d2")
    again = end(life, begin(life, due=False), "d1", "d2", "d3")
    assert (["d2"], 2) == (documents(first.new), first.known)
    assert (["d3"], 2) == (documents(again.new), again.known)
    assert 3 == len(life.rows(event))


def test_another_round_or_another_source_is_another_signing(life: Any) -> None:
    life.fetch("d1")
    rounds = end(life, begin(life), rows=(*listed("d1", round="1"), *listed("d1", round="2"), *listed("d1")))
    other = life.store.look("inhouse", "w1", HOLD)
    elsewhere = end(life, other, "d1")
    assert (["1", "2"], 1) == (sorted(row.ref.round for row in rounds.new), len(elsewhere.new))


NOTHING = Fetched(wanted=1, version=0, title="", note="it goes on")


@pytest.mark.parametrize("outcome", [Buried(reason="404"), NOTHING])
def test_a_signing_that_came_to_nothing_is_asked_for_once_more(life: Any, outcome: Any) -> None:
    life.speak("d1")
    life.settle(life.job(Stage.FETCH), outcome)
    assert ["d1"] == documents(end(life, begin(life), "d1").new)
    life.settle(
        life.job(Stage.PARSE), Parsed(type="", sender_id="", documents=((DocumentRef(id="d1"), Meaning.READY),))
    )
    life.settle(life.job(Stage.FETCH), outcome)
    assert [] == documents(end(life, begin(life, due=False), "d1").new)


def test_an_order_that_led_to_its_documents_is_known(life: Any) -> None:
    life.speak("order-1")
    life.settle(life.job(Stage.FETCH), replace(NOTHING, more=(DocumentRef(id="d1"),)))
    assert [] == documents(end(life, begin(life), "order-1").new)


def test_what_nobody_spoke_of_can_be_asked_without_a_trace(life: Any) -> None:
    life.fetch("d1")
    end(life, begin(life), "d2")
    before = (life.rows(event), life.rows(reconciliation))
    assert ["d3", "d4"] == documents(life.store.unheard("contracts", listed("d1", "d2", "d3", "d4", "d4")))
    assert before == (life.rows(event), life.rows(reconciliation))
    assert () == life.store.unheard("contracts", ())


def test_a_listed_signing_and_its_callback_are_one_signing_whoever_comes_first(life: Any, words: Any) -> None:
    end(life, begin(life), "d1")
    life.settle(life.job(Stage.PARSE), words.said("d1"))
    life.fresh()
    fetch, parse = sorted(life.claim().jobs, key=lambda one: str(one.stage))
    life.settle(parse, words.said("d1"))
    life.settle(fetch, words.fetched(deliveries=(words.bundle(),)))
    life.settle(life.job(Stage.DELIVER), Delivered(receipt=words.receipt()))
    assert ("complete", []) == (life.row(signing)["state"], life.rows(job))


def test_a_listed_event_can_be_replayed(life: Any) -> None:
    end(life, begin(life), "d1")
    parse = life.job(Stage.PARSE)
    life.settle(parse, Buried(reason="the source is gone"))
    (replayed,) = life.store.replay(ReplayOrder(ids=(parse.ref,)))
    assert replayed.ok
    assert DocumentRef(id="d1") == life.store.event(life.job(Stage.PARSE).ref).listed


def test_listings_and_stories_say_how_an_event_came(life: Any) -> None:
    event_id = life.fresh()
    life.claim()
    end(life, begin(life), "d1")
    assert {"callback", "listed"} == {row["origin"] for row in life.store.list(Query(kind="events"))}
    assert ["callback"] == [row["origin"] for row in life.store.timeline(event_id)["events"]]


# --- the mark -----------------------------------------------------------------------------------------------------


def test_the_mark_moves_to_the_newest_signing_and_never_back_nor_beyond_now(life: Any) -> None:
    start = life.clock()
    life.clock.advance(1000)
    marks = []
    for newest in (start - 5000, start + 500, start + 200, None, start + 99_999):
        end(life, begin(life, due=False), newest=newest)
        marks.append(life.store.reconciliations()["contracts"].mark - start)
    assert [1000, 1000, 1000, 1000, 1000] == marks


def test_the_mark_follows_the_providers_time_as_time_goes_by(life: Any) -> None:
    start = life.clock()
    end(life, begin(life))
    life.clock.advance(1000)
    marks = []
    for newest in (start + 500, start + 200, None, start + 99_999):
        end(life, begin(life, due=False), newest=newest)
        marks.append(life.store.reconciliations()["contracts"].mark - start)
    assert [500, 500, 500, 1000] == marks


def test_a_look_that_failed_or_did_not_reach_back_leaves_the_mark_and_the_time_of_the_last_success(life: Any) -> None:
    start = life.clock()
    end(life, begin(life), note="")
    life.clock.advance(1000)
    end(life, begin(life, due=False), "d1", newest=start + 900, whole=False, note="401", next_in=50)
    row = life.store.reconciliations()["contracts"]
    assert (start, start, "401", life.clock() + 50) == (row.mark, row.looked, row.note, row.next_at)
    assert "" == row.held_by


def test_mark_and_events_are_on_disk_together_or_not_at_all(life: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    look = begin(life)

    def die(*_: object) -> bool:
        raise sa.exc.InvalidRequestError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "_end", die)
        with pytest.raises(Exception, match="killed"):
            end(life, look, "d1", newest=life.clock())
    assert ([], [], []) == (life.rows(event), life.rows(payload), life.rows(job))
    life.clock.advance(HOLD + 1)
    again = begin(life, "w2")
    assert (look.mark, ["d1"]) == (again.mark, documents(end(life, again, "d1").new))


def test_a_long_list_goes_in_portions_and_the_mark_moves_with_the_last(
    life: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "BATCH", 2)
    end(life, begin(life))
    start, look = life.clock(), begin(life, due=False)
    life.clock.advance(10)
    names = [f"d{number}" for number in range(5)]
    *parts, last = reconcile.portions(Reconciled(look=look, rows=listed(*names), whole=True, newest=start + 5))
    for part in parts:
        with life.store.database.write() as tx:
            reconcile.store(tx, [part])
    assert (4, start) == (len(life.rows(event)), life.row(reconciliation)["mark"])

    life.clock.advance(HOLD + 1)
    noted = end(life, begin(life, "w2", due=False), *names, newest=start + 5)
    assert (1, 4, start + 5) == (len(noted.new), noted.known, life.row(reconciliation)["mark"])
    assert ([2, 2, 1], True) == ([len(part.done.rows) for part in (*parts, last)], last.last)


def test_a_look_that_was_lost_stores_its_events_and_leaves_mark_and_schedule_to_the_other(life: Any) -> None:
    lost = begin(life, "slow")
    life.clock.advance(HOLD + 1)
    begin(life, "w2")
    before = life.row(reconciliation)
    noted = end(life, lost, "d1", newest=life.clock())
    assert (["d1"], False, before) == (documents(noted.new), noted.ours, life.row(reconciliation))


def test_two_workers_that_store_the_same_list_make_one_event_each(
    life: Any, open_store: Callable[[], SqlStore], at_once: Any
) -> None:
    lost = begin(life, "slow")
    life.clock.advance(HOLD + 1)
    own, other = begin(life, "w2"), open_store()
    rows = listed(*(f"d{number}" for number in range(200)))
    first, second = at_once(
        lambda: life.store.reconciled(Reconciled(look=lost, rows=rows)),
        lambda: other.reconciled(Reconciled(look=own, rows=rows[::-1], whole=True)),
    )
    assert 200 == len(first.new) + len(second.new) == len(life.rows(event)) == len(life.rows(job))


def test_a_gauge_says_how_long_ago_a_list_was_read(life: Any) -> None:
    begin(life)
    life.clock.advance(100)
    name = ("reconciled_seconds_ago", (("source", "contracts"),))
    never = life.store.gauges()[name]
    end(life, begin(life, "w2", due=False))
    life.clock.advance(7)
    assert (100, 7) == (never, life.store.gauges()[name])


def test_a_hundred_thousand_rows_are_no_burden() -> None:
    rows = Listing(rows=listed(*map(str, range(100_000)))).rows
    look = Look(source="contracts", worker="w1", mark=0.0, hold=HOLD)
    parts = list(reconcile.portions(Reconciled(look=look, rows=rows)))
    assert (200, 500, 1) == (len(parts), len(parts[0].done.rows), sum(part.last for part in parts))

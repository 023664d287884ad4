"""Claims, leases and fencing, on both stores: a job belongs to one worker, and to nobody who lost it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from webhook_svc.core.errors import ClaimLost, Permanent
from webhook_svc.core.outcomes import Again, Closed, Delivered
from webhook_svc.core.types import Stage
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import attempt, delivery, event, job

NOTHING = Closed(type="", sender_id="", reason="nothing")


def test_a_claimed_job_is_invisible_until_its_lease_ends_and_is_swept(life: Any) -> None:
    life.fresh()
    first = life.job(Stage.PARSE)
    assert () == life.claim().jobs
    life.clock.advance(61)
    assert () == life.claim().jobs
    life.store.sweep("w2")
    again = life.job(Stage.PARSE)
    assert (first.id, first.claim + 1) == (again.id, again.claim)


def test_a_claim_takes_from_the_named_lanes_only(life: Any) -> None:
    life.accept(b"a", source="contracts")
    life.accept(b"b", source="inhouse")
    assert ["source:inhouse"] == [one.lane for one in life.claim("source:inhouse", "sink:archive").jobs]
    assert () == life.claim("sink:archive").jobs


def test_a_claim_takes_no_more_than_the_slots_of_a_lane_nor_than_the_total(life: Any) -> None:
    for number in range(5):
        for source in ("contracts", "inhouse"):
            life.accept(b"%d" % number, source=source)
    lanes = {"source:contracts": 2, "source:inhouse": 4, "sink:archive": 0}
    assert {"source:contracts": 2, "source:inhouse": 1} == Counter(
        one.lane for one in life.claim(lanes=lanes, total=3).jobs
    )
    assert () == life.claim(lanes={"source:contracts": 0}).jobs


def test_a_job_is_not_claimed_before_its_time(life: Any) -> None:
    life.fresh()
    life.settle(life.job(Stage.PARSE), Again(delay=30))
    life.clock.advance(29.9)
    assert () == life.claim().jobs
    life.clock.advance(0.2)
    assert 1 == life.job(Stage.PARSE).tries


def test_jobs_are_claimed_in_the_order_of_their_time(life: Any) -> None:
    ids = []
    for _ in range(5):
        ids.append(life.fresh())
        life.clock.advance(1)
    assert ids[:2] == [one.ref for one in life.claim(total=2).jobs]
    assert ids[2:] == [one.ref for one in life.claim().jobs]


def test_workers_that_claim_at_once_share_no_job(
    life: Any, open_store: Callable[[], SqlStore], at_once: Callable[..., list[Any]]
) -> None:
    expected = {life.fresh() for _ in range(60)}
    stores = [life.store, open_store()]

    def work(number: int) -> list[str]:
        mine: list[str] = []
        while jobs := life.claim(store=stores[number % 2], total=3, worker=f"w{number}").jobs:
            mine += [one.ref for one in jobs]
        return mine

    taken = [ref for mine in at_once(*(lambda n=number: work(n) for number in range(6))) for ref in mine]
    assert sorted(expected) == sorted(taken)


def test_a_settle_after_the_claim_was_lost_changes_nothing_but_leaves_its_receipt(life: Any, words: Any) -> None:
    life.fetch(deliveries=(words.bundle(),))
    lost = life.job(Stage.DELIVER)
    life.clock.advance(61)
    life.store.sweep("w2")
    ours = life.job(Stage.DELIVER)
    assert not life.settle(lost, Delivered(receipt=words.receipt("late/place")), worker="w1").ours
    assert "waiting" == life.row(delivery)["state"]
    late = life.row(attempt, outcome="late")
    assert ("w1", lost.claim) == (late["worker"], late["claim"])
    assert "late/place" in late["receipt"]
    assert life.settle(ours, Delivered(receipt=words.receipt("the/place"))).ours
    assert "the/place" in life.row(delivery)["receipt"]


def test_a_settle_told_twice_is_late_the_second_time(life: Any, words: Any) -> None:
    life.fetch(deliveries=(words.bundle(),))
    claimed = life.job(Stage.DELIVER)
    assert [True, False] == [life.settle(claimed, Delivered(receipt=words.receipt())).ours for _ in range(2)]


def test_renewing_lengthens_the_leases_that_are_ours_and_names_the_lost(life: Any) -> None:
    life.fresh()
    lost = life.job(Stage.PARSE)
    life.clock.advance(61)
    life.store.sweep("w2")
    again = life.job(Stage.PARSE)
    life.fresh()
    ours = life.claim(idle=False).jobs[0]
    assert {lost.id} == life.store.renew([lost], 600)
    assert frozenset() == life.store.renew([ours], 600)
    life.clock.advance(61)
    assert life.store.holds(ours)
    assert not life.store.holds(again)
    assert {ours.id: life.clock() + 539, again.id: life.clock() - 1} == {
        row["id"]: row["lease_until"] for row in life.rows(job)
    }


def test_a_job_that_is_given_back_waits_again_and_has_cost_no_try(life: Any) -> None:
    life.fresh()
    first = life.job(Stage.PARSE)
    life.store.give_back([first])
    again = life.job(Stage.PARSE)
    assert (0, first.claim + 1, False) == (again.tries, again.claim, again.alone)


def test_giving_back_what_was_lost_takes_it_from_nobody(life: Any) -> None:
    life.fresh()
    first = life.job(Stage.PARSE)
    life.store.give_back([first])
    second = life.job(Stage.PARSE)
    life.store.give_back([first])
    assert life.store.holds(second)
    assert not life.settle(first, NOTHING).ours


def test_a_suspect_that_is_given_back_is_still_run_alone(life: Any) -> None:
    _suspect(life)
    life.store.give_back([life.job(Stage.PARSE)])
    life.fresh()
    assert [True] == [one.alone for one in life.claim().jobs]


def test_holding_ends_with_the_claim_and_with_the_lease(life: Any) -> None:
    life.fresh()
    first = life.job(Stage.PARSE)
    assert life.store.holds(first)
    life.clock.advance(60)
    assert not life.store.holds(first)


# --- crashes ----------------------------------------------------------------------------------------------------------


def test_jobs_that_lost_their_worker_once_run_side_by_side_again(life: Any) -> None:
    for _ in range(3):
        life.fresh()
    life.claim()
    _expire(life)
    assert [False] * 3 == [one.alone for one in life.claim(idle=False).jobs]


def test_a_suspect_makes_a_busy_worker_drain_and_runs_alone_in_an_idle_one(life: Any) -> None:
    _suspect(life)
    life.fresh()
    assert () == life.claim(idle=False).jobs
    assert [True] == [one.alone for one in life.claim().jobs]
    assert [False] == [one.alone for one in life.claim(worker="w2").jobs]


def test_in_the_turn_of_everybody_else_a_suspect_is_taken_where_nothing_else_is_due(life: Any) -> None:
    _suspect(life)
    life.fresh()
    assert [False] == [one.alone for one in life.claim(suspects=False).jobs]
    assert () == life.claim(suspects=False, idle=False).jobs
    assert [True] == [one.alone for one in life.claim(suspects=False).jobs]


def test_a_job_is_buried_after_three_expiries_alone_and_no_sooner(life: Any) -> None:
    _suspect(life)
    for leases in (1, 6):
        life.job(Stage.PARSE)
        _expire(life)
        life.clock.advance(60 * leases)
    assert life.job(Stage.PARSE).alone
    life.clock.advance(61)
    assert {"buried": 1} == life.store.sweep("w9")
    row = life.row(event)
    assert ("dead", True) == (row["state"], "5 times" in row["reason"])
    assert ([], 5) == (life.rows(job), len(life.rows(attempt, outcome="expired")))


def test_between_two_runs_alone_a_suspect_waits_longer_and_longer(life: Any) -> None:
    _suspect(life)
    for seconds in (60, 360):
        life.job(Stage.PARSE)
        _expire(life)
        life.clock.advance(seconds - 1)
        assert () == life.claim().jobs
        life.clock.advance(1)


def test_innocents_of_a_crash_live_on(life: Any) -> None:
    for _ in range(3):
        life.fresh()
    for _ in range(2):
        assert 3 == len(life.claim().jobs)
        _expire(life)
    for _ in range(2):
        (innocent,) = life.claim().jobs
        life.settle(innocent, NOTHING)
    for leases in (1, 6, 0):
        life.claim()
        _expire(life)
        life.clock.advance(60 * leases)
    assert ["dead", "ignored", "ignored"] == sorted(row["state"] for row in life.rows(event))


def test_a_run_that_ends_pays_the_crash_budget_back(life: Any) -> None:
    _suspect(life)
    life.settle(life.job(Stage.PARSE), Again(delay=0))
    assert not life.job(Stage.PARSE).alone


def test_one_worker_at_a_time_sweeps_until_its_lease_is_over(
    life: Any, open_store: Callable[[], SqlStore], at_once: Callable[..., list[Any]]
) -> None:
    for _ in range(8):
        life.fresh()
    life.claim()
    life.clock.advance(61)
    other = open_store()
    done = at_once(lambda: life.store.sweep("w1"), lambda: other.sweep("w2"))
    assert [{}, {"returned": 8}] == sorted(done, key=len)
    winner, loser = ("w1", "w2") if done[0] else ("w2", "w1")
    life.claim(lanes={"source:contracts": 1})
    life.clock.advance(59)
    life.store.sweep(winner)
    life.clock.advance(59)
    assert {} == life.store.sweep(loser)
    life.clock.advance(2)
    assert {"returned": 1} == life.store.sweep(loser)


# --- progress ---------------------------------------------------------------------------------------------------------


def test_progress_is_kept_between_tries(life: Any, words: Any) -> None:
    life.fetch(deliveries=(words.bundle(),))
    claimed = life.job(Stage.DELIVER)
    life.store.save_progress(claimed, {"accepted": ["a@example.org", "\ud800\x00"]})
    life.settle(claimed, Again(delay=0))
    assert {"accepted": ["a@example.org", "\ud800\x00"]} == life.store.delivery(claimed.ref).progress


def test_progress_is_refused_once_the_claim_is_lost(life: Any, words: Any) -> None:
    life.fetch(deliveries=(words.bundle(),))
    lost = life.job(Stage.DELIVER)
    life.store.give_back([lost])
    life.job(Stage.DELIVER)
    with pytest.raises(ClaimLost):
        life.store.save_progress(lost, {"stale": 1})
    assert {} == life.store.delivery(lost.ref).progress


def test_progress_of_more_than_8_kb_is_refused(life: Any, words: Any) -> None:
    life.fetch(deliveries=(words.bundle(),))
    claimed = life.job(Stage.DELIVER)
    life.store.save_progress(claimed, {"x": "y" * 8000})
    with pytest.raises(Permanent):
        life.store.save_progress(claimed, {"x": "y" * 8200})
    assert 8000 == len(life.store.delivery(claimed.ref).progress["x"])


# --- the database's own defence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"state": "lost"},
        {"state": "running"},
        {"lease_until": 1.0},
        {"stage": "dream"},
    ],
    ids=str,
)
def test_the_database_refuses_a_job_in_an_impossible_state(life: Any, change: dict[str, Any]) -> None:
    life.fresh()
    with pytest.raises(sa.exc.IntegrityError), life.store.database.write() as tx:
        tx.connection.execute(job.update().values(**change))


def _suspect(life: Any) -> None:
    """A job that lost its worker twice."""
    life.fresh()
    for _ in range(2):
        life.job(Stage.PARSE)
        _expire(life)


def _expire(life: Any) -> None:
    life.clock.advance(61)
    assert life.store.sweep("w9")

"""A lane whose party fails again and again is paused for all workers, probed by one job, and resumed."""

from collections.abc import Callable
from itertools import count as count_up
from typing import Any

import pytest
import sqlalchemy as sa

from webhook_svc.core.asking import ReplayOrder
from webhook_svc.core.lanes import Party, Turn
from webhook_svc.core.outcomes import Again, Buried, Delivered, Settled
from webhook_svc.core.retry import RetryPolicy
from webhook_svc.core.types import Job, Stage
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import job, lane

LANE = "sink:archive"
SOURCE = "source:contracts"
RETRY = RetryPolicy(pause_after=3, pause_first=5.0, pause_longest=20.0)


@pytest.fixture
def queue(life: Any, words: Any) -> Callable[[int], list[str]]:
    """So many deliveries wait in the lane, and nothing else does; their ids."""

    def fill(count: int) -> list[str]:
        documents = [f"queued {next(numbers)}" for _ in range(count)]
        event_id = life.fresh()
        (parse,) = life.claim(SOURCE).jobs
        assert event_id == parse.ref
        life.settle(parse, words.said(*documents))
        for one in life.claim(SOURCE).jobs:
            life.settle(one, words.fetched(deliveries=(words.bundle(sink="archive"),)))
        return [row["ref"] for row in life.rows(job, lane=LANE)]

    numbers = count_up()
    return fill


def fail(life: Any, one: Job, reason: str = "status 500", *, delay: float = 0.0, after: float | None = None) -> Settled:
    outcome = Again(delay=delay)
    settled = life.settle(one, outcome, message=reason, party=Party.FAILS, after=after, retry=RETRY)
    assert isinstance(settled, Settled)
    return settled


def succeed(life: Any, one: Job, words: Any) -> Settled:
    settled = life.settle(one, Delivered(receipt=words.receipt()), party=Party.ANSWERS)
    assert isinstance(settled, Settled)
    return settled


def pause(life: Any) -> None:
    """The lane is paused for 5 seconds."""
    turns = [fail(life, one).turn for one in life.claim(LANE, total=3).jobs]
    assert [None, None, Turn(lane=LANE, pause=5.0, reason="status 500")] == turns


# --- pausing ----------------------------------------------------------------------------------------------------------


def test_failures_in_a_row_pause_the_lane_for_every_worker(life: Any, queue: Any, open_store: Any) -> None:
    queue(5)
    pause(life)

    assert [(), ()] == [life.claim(LANE, store=store).jobs for store in (life.store, open_store())]


def test_an_answer_begins_the_count_anew_and_leaves_no_row(life: Any, queue: Any, words: Any) -> None:
    queue(5)
    first, second, third, fourth, fifth = life.claim(LANE).jobs
    fail(life, first)
    fail(life, second)
    succeed(life, third, words)

    assert [] == life.rows(lane)
    assert [None, None] == [fail(life, one).turn for one in (fourth, fifth)]


def test_one_job_that_fails_again_and_again_pauses_nobody_else(life: Any, queue: Any) -> None:
    queue(1)
    assert [None] * 6 == [fail(life, life.job(Stage.DELIVER)).turn for _ in range(6)]
    queue(2)

    assert 3 == len(life.claim(LANE).jobs)


def test_a_paused_lane_leaves_the_others_alone(life: Any, queue: Any) -> None:
    queue(4)
    pause(life)
    event_id = life.fresh()

    assert [event_id] == [one.ref for one in life.claim().jobs]


def test_what_a_sender_asks_for_pauses_its_lane_at_once_and_is_clamped(life: Any, queue: Any) -> None:
    queue(2)
    first, second = life.claim(LANE).jobs
    assert Turn(lane=LANE, pause=90.0, reason="slow down") == fail(life, first, "slow down", after=90.0).turn
    assert fail(life, second, "for a year", after=1e9).turn is None, "a pause that grows is no news"

    assert life.clock() + RETRY.longest == life.row(lane)["until"]


def test_failures_of_jobs_that_ran_when_the_pause_began_do_not_lengthen_it(life: Any, queue: Any, words: Any) -> None:
    queue(6)
    beside = life.claim(LANE, total=3).jobs
    pause(life)
    before = life.row(lane)
    life.clock.advance(1)
    fail(life, beside[0])
    succeed(life, beside[1], words)
    life.clock.advance(4)
    succeed(life, beside[2], words)

    assert before == life.row(lane)


def test_what_says_nothing_of_the_sink_counts_for_nothing(life: Any, queue: Any) -> None:
    queue(4)
    for one in life.claim(LANE).jobs:
        life.settle(one, Again(delay=0.0), party=Party.UNHEARD)

    assert 4 == len(life.claim(LANE).jobs)


def test_a_job_that_waits_in_a_paused_lane_burns_no_try(life: Any, queue: Any) -> None:
    queue(4)
    pause(life)
    life.clock.advance(4)
    life.claim(LANE)

    assert [0, 1, 1, 1] == sorted(row["tries"] for row in life.rows(job, lane=LANE))


# --- probing ----------------------------------------------------------------------------------------------------------


def test_when_the_pause_is_over_one_worker_gets_one_job(life: Any, queue: Any, open_store: Any, at_once: Any) -> None:
    queue(5)
    pause(life)
    life.clock.advance(5)
    stores: list[SqlStore] = [life.store, open_store(), open_store()]
    claims = at_once(*(lambda store=store: life.claim(LANE, store=store) for store in stores))

    assert 1 == sum(len(one.jobs) for one in claims)
    assert [LANE] == [name for one in claims for name in one.probing]


def test_a_probe_that_succeeds_opens_the_lane_for_all(life: Any, queue: Any, words: Any) -> None:
    queue(5)
    pause(life)
    life.clock.advance(5)
    (probe,) = life.claim(LANE).jobs

    assert Turn(lane=LANE, pause=None, reason="status 500") == succeed(life, probe, words).turn
    assert [] == life.rows(lane)
    assert 4 == len(life.claim(LANE).jobs)


def test_each_probe_that_fails_doubles_the_pause_up_to_its_longest(life: Any, queue: Any) -> None:
    queue(3)
    pause(life)
    pauses = []
    for seconds in (5, 10, 20):
        life.clock.advance(seconds - 0.5)
        assert () == life.claim(LANE).jobs
        life.clock.advance(0.5)
        (probe,) = life.claim(LANE).jobs
        turn = fail(life, probe).turn
        assert turn is not None
        pauses.append(turn.pause)

    assert [10.0, 20.0, 20.0] == pauses


def test_a_probe_that_is_told_to_come_later_comes_later(life: Any, queue: Any) -> None:
    queue(3)
    pause(life)
    life.clock.advance(5)
    (probe,) = life.claim(LANE).jobs

    assert Turn(lane=LANE, pause=60.0, reason="busy") == fail(life, probe, "busy", after=60.0).turn


def test_a_probe_whose_worker_died_is_followed_by_another_after_its_lease(life: Any, queue: Any) -> None:
    queue(5)
    pause(life)
    life.clock.advance(5)
    (lost,) = life.claim(LANE).jobs
    life.clock.advance(59)
    assert () == life.claim(LANE).jobs
    life.clock.advance(1)
    (second,) = life.claim(LANE).jobs

    assert lost.id != second.id


def test_a_probe_that_is_given_back_is_followed_by_another_at_once(life: Any, queue: Any) -> None:
    queue(5)
    pause(life)
    life.clock.advance(5)
    life.store.give_back(life.claim(LANE).jobs)

    assert (LANE,) == life.claim(LANE).probing


def test_a_slow_probe_opens_the_lane_even_after_others_followed_it(life: Any, queue: Any, words: Any) -> None:
    queue(5)
    pause(life)
    life.clock.advance(6)
    (slow,) = life.claim(LANE).jobs
    life.clock.advance(61)
    life.claim(LANE)
    succeed(life, slow, words)

    assert [] == life.rows(lane)


def test_a_probe_that_found_nothing_out_makes_way_for_the_next(life: Any, queue: Any) -> None:
    queue(4)
    pause(life)
    life.clock.advance(5)
    (probe,) = life.claim(LANE).jobs
    life.settle(probe, Buried(reason="our own matter"), party=Party.UNHEARD)
    following = life.claim(LANE)

    assert (1, (LANE,)) == (len(following.jobs), following.probing)


def test_a_job_that_failed_often_is_not_the_one_that_probes(life: Any, queue: Any) -> None:
    (poison,) = queue(1)
    for _ in range(4):
        fail(life, life.job(Stage.DELIVER))
    life.clock.advance(1)
    queue(3)
    pause(life)
    life.clock.advance(5)
    (probe,) = life.claim(LANE).jobs

    assert poison != probe.ref
    assert 5 == life.row(job, ref=poison)["tries"]


def test_a_fetch_probes_a_source_although_callbacks_wait_before_it(life: Any) -> None:
    life.speak("d1", "d2", "d3")
    for one in life.claim(SOURCE).jobs:
        fail(life, one, delay=5.0)
    for _ in range(3):
        life.fresh()
    life.clock.advance(5)
    (probe,) = life.claim(SOURCE).jobs

    assert Stage.FETCH is probe.stage


def test_a_source_in_which_only_callbacks_wait_works_them_off_one_by_one(life: Any, words: Any) -> None:
    life.speak("d1", "d2", "d3")
    for one in life.claim(SOURCE).jobs:
        fail(life, one, delay=1000.0)
    life.fresh()
    life.clock.advance(5)
    (parse,) = life.claim(SOURCE).jobs
    life.settle(parse, words.said("d4"))
    (probe,) = life.claim(SOURCE).jobs

    assert (Stage.PARSE, Stage.FETCH) == (parse.stage, probe.stage)


# --- what else claims -------------------------------------------------------------------------------------------------


def test_a_fetch_takes_no_delivery_of_a_paused_lane_along(life: Any, queue: Any, words: Any) -> None:
    queue(3)
    pause(life)
    life.speak("another")
    (fetch,) = life.claim(SOURCE).jobs
    life.clock.advance(5)
    bundles = (words.bundle(sink="archive"), words.bundle(sink="legal"))
    settled = life.settle(fetch, words.fetched(deliveries=bundles), keep={LANE: 8, "sink:legal": 8})

    assert ["sink:legal"] == [one.lane for one in settled.kept]


def test_a_parse_does_not_go_on_to_its_fetch_while_the_source_is_paused(life: Any, words: Any) -> None:
    life.speak("d1", "d2", "d3")
    parse_id = life.fresh()
    *fetches, parse = sorted(life.claim(SOURCE).jobs, key=lambda one: one.ref == parse_id)
    for one in fetches:
        fail(life, one, delay=1000.0)

    assert () == life.settle(parse, words.said("d4"), keep={SOURCE: 1}).kept


def test_a_suspect_of_a_paused_lane_does_not_hold_up_its_worker(life: Any, queue: Any) -> None:
    queue(4)
    pause(life)
    _, *others = life.rows(job, lane=LANE)
    with life.store.database.write() as tx:
        suspect = sa.update(job).where(job.c.id == others[0]["id"]).values(state="suspect", expiries=2)
        tx.connection.execute(suspect)
    life.fresh()

    assert [Stage.PARSE] == [one.stage for one in life.claim(idle=False).jobs]


def test_a_suspect_that_is_all_its_lane_has_probes_it_alone(life: Any, queue: Any) -> None:
    queue(3)
    pause(life)
    with life.store.database.write() as tx:
        tx.connection.execute(sa.update(job).values(state="suspect", expiries=2))
    life.clock.advance(5)
    claimed = life.claim()

    assert ([True], (LANE,)) == ([one.alone for one in claimed.jobs], claimed.probing)


def test_an_idle_worker_finds_nothing_due_in_a_paused_lane(life: Any, queue: Any) -> None:
    queue(4)
    pause(life)
    assert () == life.claim().jobs
    writes: list[object] = []
    life.store.committer.submit = lambda *unit, **_: writes.append(unit)
    life.claim()

    assert [] == writes


def test_a_replay_of_work_in_a_paused_lane_says_that_it_waits(life: Any, queue: Any) -> None:
    queue(4)
    (dead,) = life.claim(LANE, total=1).jobs
    life.settle(dead, Buried(reason="no"), party=Party.ANSWERS)
    pause(life)
    (replayed,) = life.store.replay(ReplayOrder(ids=(dead.ref,)))

    assert (True, "will deliver it again (was dead), when sink:archive, which is paused, answers again") == (
        replayed.ok,
        replayed.what,
    )
    assert () == life.claim(LANE).jobs

"""Which workers run is known to all, and work that none of them serves is named."""

from typing import Any

import pytest

from webhook_svc.core.lanes import LaneRow, Party
from webhook_svc.core.outcomes import Again
from webhook_svc.core.retry import RetryPolicy
from webhook_svc.store.tables import job, lane, worker

SOURCE, SINK = "source:contracts", "sink:archive"


def test_work_that_no_running_worker_serves_is_named_with_how_long_it_has_been_due(life: Any) -> None:
    life.fresh()
    life.accept(b"{}", source="inhouse")
    life.store.attend("w1", [SOURCE, SINK], 60.0)
    life.clock.advance(30)

    assert {"source:inhouse": 30.0} == life.store.unserved()


def test_a_lane_without_work_needs_no_worker(life: Any) -> None:
    assert {} == life.store.unserved()


@pytest.mark.parametrize("gone", ["killed", "drained"])
def test_a_worker_that_is_gone_serves_nothing(life: Any, gone: str) -> None:
    life.fresh()
    life.store.attend("w1", [SOURCE], 60.0)
    if gone == "drained":
        life.store.leave("w1")
    else:
        life.clock.advance(60)

    assert {SOURCE} == life.store.unserved().keys()


def test_a_worker_that_goes_on_says_so_again(life: Any) -> None:
    life.fresh()
    for _ in range(3):
        life.store.attend("w1", [SOURCE], 60.0)
        life.clock.advance(40)

    assert {} == life.store.unserved()
    assert ["w1"] == [row["name"] for row in life.rows(worker)]


def test_the_sweep_forgets_dead_workers_and_trouble_that_is_long_over(life: Any) -> None:
    life.store.attend("w1", [SOURCE], 60.0)
    life.speak("d1")
    (fetch,) = life.claim(SOURCE).jobs
    life.settle(fetch, Again(delay=1e9), party=Party.FAILS, retry=RetryPolicy(pause_after=1))
    life.store.sweep("w2")
    assert (1, 1) == (len(life.rows(worker)), len(life.rows(lane)))
    life.clock.advance(2 * 86400)
    life.store.sweep("w2")

    assert ([], []) == (life.rows(worker), life.rows(lane))


def test_the_overview_shows_every_lane_with_its_work_its_trouble_and_its_workers(life: Any) -> None:
    start = life.clock()
    life.speak("d1", "d2")
    (fetch,) = life.claim(SOURCE, total=1).jobs
    life.settle(fetch, Again(delay=60.0), party=Party.FAILS, message="status 500", retry=RetryPolicy(pause_after=1))
    for name in ("w1", "w2"):
        life.store.attend(name, [SOURCE, SINK], 60.0)

    source = LaneRow(
        lane=SOURCE,
        waiting=2,
        oldest=start,
        failures=1,
        since=start,
        reason="status 500",
        paused=True,
        until=start + 5.0,
        served_by=("w1", "w2"),
    )
    assert (LaneRow(lane=SINK, served_by=("w1", "w2")), source) == life.store.lane_rows()


def test_the_gauges_tell_of_workers_of_pauses_and_of_what_nobody_serves(life: Any) -> None:
    life.speak("d1")
    (fetch,) = life.claim(SOURCE, total=1).jobs
    life.settle(fetch, Again(delay=0.0), party=Party.FAILS, retry=RetryPolicy(pause_after=1))
    life.store.attend("w1", [SINK], 60.0)
    life.clock.advance(3)
    gauges = life.store.gauges()

    assert 1 == gauges["workers", ()]
    assert 3 == gauges["lane_paused_seconds", (("lane", SOURCE),)]
    assert 3 == gauges["lane_unserved_seconds", (("lane", SOURCE),)]


def test_the_list_of_a_paused_source_is_not_read_by_itself(life: Any) -> None:
    assert life.store.look("contracts", "w1", 60.0) is not None
    life.clock.advance(61)
    assert life.store.reconciliations()["contracts"].due
    life.speak("d1")
    (fetch,) = life.claim(SOURCE, total=1).jobs
    life.settle(fetch, Again(delay=0.0), party=Party.FAILS, retry=RetryPolicy(pause_after=1))

    assert not life.store.reconciliations()["contracts"].due
    assert life.store.look("contracts", "w1", 60.0) is None
    assert life.store.look("contracts", "w1", 60.0, due=False) is not None, "a person may"


def test_a_backlog_and_a_paused_lane_refuse_no_callback(life: Any) -> None:
    now = life.clock()
    waiting = {"lane": SOURCE, "stage": "fetch", "state": "waiting", "run_at": now, "created": now}
    paused = {"name": SOURCE, "failures": 5, "job": "", "since": now, "reason": "", "until": now + 300}
    with life.store.database.write() as tx:
        tx.connection.execute(job.insert(), [{**waiting, "id": f"job_{n}", "ref": f"sgn_{n}"} for n in range(20_000)])
        tx.connection.execute(lane.insert(), paused)

    assert life.accept(b"genuine").new

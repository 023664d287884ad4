"""A worker keeps to its slots, serves every lane, and makes way for another process where a job never ends."""

import itertools
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from webhook_svc.core.errors import StoreUnavailable
from webhook_svc.core.types import Job, Stage
from webhook_svc.core.work import Claims, Wish
from webhook_svc.worker import Pace, Stuck, Worker, give_way
from webhook_svc.worker.slots import Running


def job(number: int, lane: str = "sink:a", *, alone: bool = False) -> Job:
    ref = f"dlv_{number}"
    return Job(id=f"job_{number}", lane=lane, stage=Stage.DELIVER, ref=ref, claim=1, tries=0, alone=alone)


@dataclass
class Store:
    """Hands out the jobs that fit a wish, and remembers what was asked of it."""

    waiting: list[Job] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    away: bool = False
    woken: threading.Event = field(default_factory=threading.Event)
    patience: float = 0.01

    def claim(self, wish: Wish) -> Claims:
        self.wishes.append(wish)
        taken = [one for one in self.waiting if wish.lanes.get(one.lane, 0)][: min(wish.total, 1)]
        self.waiting = [one for one in self.waiting if one not in taken]
        return Claims(jobs=tuple(taken))

    def give_back(self, jobs: Iterable[Job]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.returned += [one.id for one in jobs]

    def renew(self, _jobs: Iterable[Job], _lease: float) -> frozenset[str]:
        return frozenset()

    def attend(self, worker: str, lanes: Iterable[str], hold: float) -> None:
        """Nobody asks."""

    def leave(self, worker: str) -> None:
        self.left.append(worker)

    def lanes(self) -> dict[str, int]:
        return self.known

    def wait(self, timeout: float) -> None:
        self.woken.wait(min(timeout, self.patience))
        self.woken.clear()

    def poke(self) -> None:
        self.woken.set()


Run = Callable[[Job, Callable[[], Mapping[str, int]]], tuple[Job, ...]]


def made(
    store: Store,
    run: Run,
    lanes: Mapping[str, int],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    **pace: float,
) -> Worker:
    sweep: Any = SimpleNamespace(sweep=dict, clean=lambda _stopped: {}, every=60.0)
    runner: Any = SimpleNamespace(worker="w1", run=run)
    port: Any = store
    chosen: Any = {"concurrency": 4, "lease": 0.05, "poll": 0.01, "drain": 0.1, **pace}
    return Worker(port, runner, sweep, lanes, Pace(**chosen), monotonic=monotonic)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds jobs up; opened at the end, so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


def held(gate: threading.Event) -> Run:
    def run(_job: Job, _keep: object) -> tuple[Job, ...]:
        gate.wait(30)
        return ()

    return run


def test_a_job_that_never_ends_ends_the_process_and_is_not_given_back(gate: threading.Event) -> None:
    store = Store(waiting=[job(1), job(2)])

    def run(one: Job, _keep: object) -> tuple[Job, ...]:
        if one.id == "job_1":
            gate.wait(30)
        return ()

    with pytest.raises(Stuck, match="dlv_1"):
        made(store, run, {"sink:a": 2}, job_deadline=0.05).run()
    assert [] == store.returned


def test_what_runs_at_the_end_of_the_drain_is_given_back(gate: threading.Event) -> None:
    store = Store(waiting=[job(1)])
    worker = made(store, held(gate), {"sink:a": 1}, lease=60.0)
    started = threading.Thread(target=worker.run)
    started.start()
    while not store.wishes or store.waiting:
        store.woken.wait(0.01)
    worker.stop()
    started.join(10)

    assert ["job_1"] == store.returned
    assert ["w1"] == store.left


def test_a_store_that_is_away_at_the_end_ends_the_drain_all_the_same(gate: threading.Event) -> None:
    store = Store(waiting=[job(1)], away=True)
    worker = made(store, held(gate), {"sink:a": 1}, lease=60.0)
    started = threading.Thread(target=worker.run)
    started.start()
    while not store.wishes or store.waiting:
        store.woken.wait(0.01)
    worker.stop()
    started.join(10)

    assert not started.is_alive()


def test_a_plugin_that_exits_does_not_take_its_slot_along(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(waiting=[job(1), job(2)])
    done = threading.Event()

    def run(one: Job, _keep: object) -> tuple[Job, ...]:
        if one.id == "job_1":
            raise SystemExit(3)
        done.set()
        return ()

    worker = made(store, run, {"sink:a": 1}, concurrency=1)
    started = threading.Thread(target=worker.run)
    started.start()
    assert done.wait(10)
    worker.stop()
    started.join(10)

    assert "settle.failed" in capsys.readouterr().out


def test_what_could_not_be_settled_for_want_of_a_store_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()

    def run(one: Job, _keep: object) -> tuple[Job, ...]:
        if one.id == "job_1":
            raise StoreUnavailable("the disk is full")
        done.set()
        return ()

    worker = made(Store(waiting=[job(1), job(2)]), run, {"sink:a": 1}, concurrency=1)
    started = threading.Thread(target=worker.run)
    started.start()
    assert done.wait(10)
    worker.stop()
    started.join(10)

    (line,) = (line for line in capsys.readouterr().out.splitlines() if "settle.failed" in line)
    assert "the disk is full" in line


def test_what_runs_beside_the_loop_is_told_to_stop_and_waited_for() -> None:
    begun, ended = threading.Event(), threading.Event()

    def beside(stopping: threading.Event) -> None:
        begun.set()
        stopping.wait(10)
        ended.set()

    sweep: Any = SimpleNamespace(sweep=dict, clean=lambda _stopped: {}, every=60.0)
    runner: Any = SimpleNamespace(worker="w1")
    store: Any = Store()
    worker = Worker(store, runner, sweep, {}, Pace(concurrency=1, poll=0.01), beside=[beside])
    started = threading.Thread(target=worker.run)
    started.start()
    assert begun.wait(10)
    worker.stop()
    started.join(10)

    assert ended.is_set()


def test_lanes_with_work_that_nobody_serves_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    worker = made(Store(known={"sink:gone": 3, "sink:a": 1}), lambda _job, _keep: (), {"sink:a": 1})
    worker.stop()
    worker.run()
    said = capsys.readouterr().out

    assert "lanes.unserved" in said
    assert "sink:gone" in said


def test_the_lane_that_runs_least_is_asked_for_first() -> None:
    running = Running()
    running.add(job(1, "source:a"), 0.0)

    assert ["source:b", "sink:a", "source:a"] == list(running.free({"source:a": 8, "source:b": 8, "sink:a": 8}))


def test_what_may_kill_gets_every_other_lease_and_a_new_process_begins_with_everybody_else() -> None:
    store = Store()
    ticks = itertools.count()

    def tick() -> float:
        if len(store.wishes) == 200:
            worker.stop()
        return next(ticks) * 0.01

    worker = made(store, held(threading.Event()), {"sink:a": 1}, monotonic=tick)
    worker.run()
    turns = [turn for turn, _ in itertools.groupby(wish.suspects for wish in store.wishes)]
    assert [False, True, False, True] == turns[:4]


def test_of_lanes_that_run_alike_the_one_that_was_served_longest_ago_is_asked_for_first() -> None:
    running = Running()
    for number, lane in enumerate(("source:a", "source:b")):
        running.add(job(number, lane), 0.0)

    assert ["source:a", "source:b"] == list(running.free({"source:b": 8, "source:a": 8}))


def test_the_last_quarter_of_the_slots_is_kept_for_lanes_that_run_nothing() -> None:
    running, lanes = Running(), dict.fromkeys(("source:a", "source:b", "source:c"), 8)
    for number in range(2):
        running.add(job(number, "source:a"), 0.0)
    assert ({"source:b": 8, "source:c": 8, "source:a": 6}, 4) == running.share(lanes, 8)
    for number in range(2, 6):
        running.add(job(number, "source:a"), 0.0)

    assert ({"source:b": 1, "source:c": 1}, 2) == running.share(lanes, 8)


def test_the_slot_of_a_job_is_filled_again_while_what_followed_from_it_runs(gate: threading.Event) -> None:
    store, begun = Store(waiting=[job(1, "source:a"), job(2, "source:a")]), queue.SimpleQueue[str]()
    store.patience = 30.0

    def run(one: Job, _keep: object) -> tuple[Job, ...]:
        begun.put(one.id)
        if one.lane == "sink:a":
            gate.wait(30)
        return (job(3),) if one.id == "job_1" else ()

    worker = made(store, run, {"source:a": 1, "sink:a": 1}, poll=30.0, lease=60.0, drain=10.0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert {"job_1", "job_2", "job_3"} == {begun.get(timeout=10) for _ in range(3)}
    gate.set()
    worker.stop()
    thread.join(10)


def test_a_promised_slot_is_out_of_everybody_elses_reach() -> None:
    running, lanes = Running(), {"sink:a": 1, "sink:b": 2}
    first = running.promise(lanes)
    second = running.promise(lanes)

    assert ({"sink:a": 1, "sink:b": 1}, {"sink:b": 1}) == (first, second)
    assert {"sink:a": 0, "sink:b": 0} == running.free(lanes)
    running.redeem(first)
    running.redeem(second)
    assert lanes == running.free(lanes)


def test_what_a_job_leads_to_goes_on_in_its_thread_with_the_slot_that_it_leaves() -> None:
    parse, fetch = (
        Job(id=f"job_{stage}", lane="source:a", stage=stage, ref="x", claim=1, tries=0)
        for stage in (Stage.PARSE, Stage.FETCH)
    )
    store, done = Store(waiting=[parse]), threading.Event()
    seen: list[tuple[str, str, Mapping[str, int]]] = []

    def run(one: Job, keep: Callable[[], Mapping[str, int]]) -> tuple[Job, ...]:
        seen.append((one.id, threading.current_thread().name, dict(keep())))
        if one.stage is Stage.PARSE:
            return (fetch,)
        done.set()
        return ()

    worker = made(store, run, {"source:a": 1, "sink:b": 2, "sink:c": 2})
    started = threading.Thread(target=worker.run)
    started.start()
    assert done.wait(10)
    worker.stop()
    started.join(10)

    (first, thread, own), (second, same, promised) = seen
    assert (parse.id, fetch.id, thread) == (first, second, same)
    assert ({"source:a": 1}, {"sink:b": 1, "sink:c": 1}) == (own, promised)


def test_what_takes_the_place_of_a_job_takes_its_slot_and_what_was_promised() -> None:
    running, lanes = Running(), {"source:a": 1, "sink:b": 1}
    running.add(job(1, "source:a"), 0.0)
    promised = running.promise({"sink:b": 1})
    running.follow(job(1, "source:a"), [job(2, "sink:b")], 0.0, promised)

    assert {"source:a": 1, "sink:b": 0} == running.free(lanes)


def test_the_end_of_an_old_claim_leaves_the_slot_of_the_new_one_taken() -> None:
    running, lanes = Running(), {"sink:a": 2}
    old, new = job(1), replace(job(1), claim=2)
    running.add(old, 0.0)
    running.add(new, 1.0)
    running.follow(old, (), 2.0, {})

    assert ([(new, 1.0)], {"sink:a": 1}) == (running.all(), running.free(lanes))


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the system knows no such policy")
def test_a_worker_gives_way_unless_something_else_was_chosen_for_it() -> None:
    def policy(before: int) -> int:
        os.sched_setscheduler(0, before, os.sched_param(0))
        give_way()
        return os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as usual, ThreadPoolExecutor(1) as idle:  # the policy is that of a thread
        assert os.SCHED_BATCH == usual.submit(policy, os.SCHED_OTHER).result()
        assert os.SCHED_IDLE == idle.submit(policy, os.SCHED_IDLE).result()

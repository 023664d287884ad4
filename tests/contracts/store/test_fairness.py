"""A source with a huge backlog, or one that hangs, leaves the others their share of every worker."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from webhook_svc.core.types import Job
from webhook_svc.store.engine import Tx
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import job
from webhook_svc.worker import Pace, Worker

CONCURRENCY, PER_LANE = 32, 8
FLOOD = 100_000


def queue(store: SqlStore, lane: str, count: int, *, share: str = "") -> None:
    """So many jobs of the lane are due, deliveries of that source where one is named."""
    numbers = sa.select(sa.literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(sa.select(numbers.c.n + 1).where(numbers.c.n < count))
    name = sa.literal(f"{_name(lane, share)}#").concat(sa.cast(numbers.c.n, sa.String))
    fixed = {
        "lane": lane,
        "stage": "deliver" if share else "fetch",
        "share": share,
        "state": "waiting",
        "run_at": 1.0,
        "created": 1.0,
    }
    rows = sa.select(name, name, *map(sa.literal, fixed.values()))
    with store.database.write() as tx:
        tx.connection.execute(job.insert().from_select(["id", "ref", *fixed], rows))


def _name(lane: str, share: str) -> str:
    return f"{lane}:{share}" if share else lane


class Crew:
    """Workers on one database, whose jobs are done when `work` returns. `done` says in order of which queue."""

    def __init__(self, work: Callable[[Job], None]) -> None:
        self.done: list[str] = []
        self.changed = threading.Condition()
        self._work = work
        self._open = ExitStack()

    def start(self, store: SqlStore, name: str, lanes: Sequence[str]) -> None:
        def run(one: Job, _keep: Callable[[], Mapping[str, int]]) -> tuple[Job, ...]:
            self._work(one)
            store.committer.submit(_delete, one.id)
            with self.changed:
                self.done.append(one.id.partition("#")[0])
                self.changed.notify_all()
            return ()

        runner: Any = SimpleNamespace(worker=name, run=run)
        sweep: Any = SimpleNamespace(sweep=dict, clean=lambda _stopped: {}, every=60.0)
        pace = Pace(concurrency=CONCURRENCY, poll=0.05, drain=5.0)
        worker = Worker(store, runner, sweep, dict.fromkeys(lanes, PER_LANE), pace)
        thread = threading.Thread(target=worker.run)
        thread.start()
        self._open.callback(thread.join, 30)
        self._open.callback(worker.stop)

    def await_done(self, expected: Mapping[str, int]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: not Counter(expected) - Counter(self.done), 60)

    def stop(self) -> None:
        self._open.close()


def _delete(tx: Tx, ids: Sequence[str]) -> list[None]:
    tx.connection.execute(job.delete().where(job.c.id.in_(ids)))
    return [None] * len(ids)


@pytest.fixture
def crew() -> Iterator[Callable[[Callable[[Job], None]], Crew]]:
    with ExitStack() as stack:

        def make(work: Callable[[Job], None]) -> Crew:
            made = Crew(work)
            stack.callback(made.stop)
            return made

        yield make


@pytest.mark.parametrize("workers", [1, 2])
def test_a_source_with_100_000_events_does_not_starve_the_others(
    store: SqlStore, open_store: Callable[[], SqlStore], crew: Callable[..., Crew], workers: int
) -> None:
    others = {f"source:small{number}": 5 for number in range(3)}
    queue(store, "source:flood", FLOOD)
    for lane, count in others.items():
        queue(store, lane, count)
    made = crew(lambda _job: None)
    for number in range(workers):
        made.start(open_store() if number else store, f"w{number}", ["source:flood", *others])
    made.await_done(others)

    last = max(index for index, lane in enumerate(made.done) if lane != "source:flood")
    assert last < 4 * workers * CONCURRENCY, "the others were done within a few rounds"


def test_providers_that_hang_leave_slots_for_a_source_that_runs_nothing(
    store: SqlStore, crew: Callable[..., Crew]
) -> None:
    hanging = [f"source:hangs{number}" for number in range(5)]
    for lane in hanging:
        queue(store, lane, 100)
    go_on = threading.Event()
    made = crew(lambda one: go_on.wait(60) if "hangs" in one.lane else None)
    try:
        made.start(store, "w1", [*hanging, "source:small"])
        queue(store, "source:small", 20)
        made.await_done({"source:small": 20})
    finally:
        go_on.set()


def test_more_lanes_than_slots_are_all_served(store: SqlStore, crew: Callable[..., Crew]) -> None:
    lanes = [f"source:{number}" for number in range(2 * CONCURRENCY)]
    for lane in lanes:
        queue(store, lane, 20)
    made = crew(lambda _job: None)
    made.start(store, "w1", lanes)
    made.await_done(dict.fromkeys(lanes, 1))

    assert len(made.done) < 10 * len(lanes), "long before the first was worked off"


def test_a_sink_for_which_100_000_documents_of_one_source_wait_takes_those_of_the_others_in_turn(
    store: SqlStore, crew: Callable[..., Crew]
) -> None:
    others = {f"small{number}": 5 for number in range(3)}
    for share, count in {"flood": FLOOD, **others}.items():
        queue(store, "sink:archive", count, share=share)
    made = crew(lambda _job: None)
    made.start(store, "w1", ["sink:archive"])
    made.await_done({f"sink:archive:{share}": count for share, count in others.items()})

    last = max(index for index, name in enumerate(made.done) if name != "sink:archive:flood")
    assert last < 20 * PER_LANE, "the others were done within a few rounds"

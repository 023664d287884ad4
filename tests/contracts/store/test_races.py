"""Two processes that meet on one row, on both stores: nobody waits for a wake-up that was lost, nothing is done twice.

Each race is played in both orders: the first transaction has written and not committed when the second begins.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest
import sqlalchemy as sa

from webhook_svc.core.asking import ReplayOrder
from webhook_svc.core.errors import StoreUnavailable
from webhook_svc.core.outcomes import Again, Buried, Closed, Delivered, Outcome, Refetch, Settlement
from webhook_svc.core.types import DocumentRef, Job, Meaning, Stage
from webhook_svc.core.work import Claims, Wish
from webhook_svc.store import accept, claim, replay, settle
from webhook_svc.store.engine import Tx
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import delivery, event, job, signing, signing_event

Act = Callable[[Tx], Any]
ORDERS = pytest.mark.parametrize("swap", [False, True], ids=["first", "second"])


@dataclass
class Race:
    one: SqlStore
    other: SqlStore
    threads: ThreadPoolExecutor

    def run(self, first: Act, second: Act, *, swap: bool = False) -> tuple[Any, Any]:
        """`second` begins after `first` has written and before it commits; swapped, the other way round."""
        if swap:
            second_result, first_result = self.run(second, first)
            return first_result, second_result
        with self.one.database.write() as tx:
            result = first(tx)
            later = self.threads.submit(self._act, self.other, second)
            self._until_it_meets(later)
        return result, later.result(30)

    def _act(self, store: SqlStore, act: Act) -> Any:
        with store.database.write() as tx:
            return act(tx)

    def _until_it_meets(self, later: "Future[Any]") -> None:
        """Until the second waits for a lock of the first, or is through. On SQLite it waits before it begins."""
        if self.one.database.reader.dialect.name == "sqlite":
            return
        blocked = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        deadline = time.monotonic() + 20
        while not later.done() and time.monotonic() < deadline:
            with self.one.database.reader.connect() as connection:
                if connection.execute(blocked).scalar_one():
                    return


@pytest.fixture
def race(store: SqlStore, open_store: Callable[[], SqlStore]) -> Iterator[Race]:
    with ThreadPoolExecutor(1) as threads:
        yield Race(store, open_store(), threads)


def settling(life: Any, claimed: Job, outcome: Outcome, **more: Any) -> Act:
    now = life.clock()
    settlement = Settlement(job=claimed, outcome=outcome, started=now, ended=now, **more)
    return lambda tx: settle.settle(tx, [settlement])[0]


def claiming(*lanes: str) -> Act:
    wish = Wish(worker="w2", lanes=dict.fromkeys(lanes, 9), total=9, lease=60, idle=True)

    def act(tx: Tx) -> Claims:
        return claim.claim(tx, [wish])[0]

    return act


def persist(act: Callable[[], Any]) -> Any:
    """As sender and worker do: of two that collide again and again the store sends one away."""
    while True:
        with suppress(StoreUnavailable):
            return act()


@ORDERS
def test_an_event_that_meets_the_end_of_a_fetch_is_never_forgotten(
    life: Any, words: Any, race: Race, swap: bool
) -> None:
    life.fetch("d1", lacking=("certificate",))
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    life.fresh()
    parse = life.job(Stage.PARSE)
    race.run(
        settling(life, fetch, words.fetched(wanted=2, parts=(), lacking=("certificate",))),
        settling(life, parse, words.said("d1")),
        swap=swap,
    )
    row = life.row(signing)
    assert ("fetching", 3, 2) == (row["state"], row["wanted"], row["fetched"])
    life.settle(life.job(Stage.FETCH), words.fetched(wanted=3, parts=()))
    assert ("complete", []) == (life.row(signing)["state"], life.rows(job))


@ORDERS
def test_a_change_that_meets_the_end_of_a_fetch_is_fetched(life: Any, words: Any, race: Race, swap: bool) -> None:
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    life.fresh()
    parse = life.job(Stage.PARSE)
    changed = words.said("d1", meaning=Meaning.CHANGED)
    race.run(settling(life, fetch, words.fetched()), settling(life, parse, changed), swap=swap)
    found = life.store.signing(life.job(Stage.FETCH).ref)
    assert ("fetching", 2, 2, 1) == (found.state, found.wanted, found.change, found.fetched)


@ORDERS
def test_an_event_that_meets_the_burial_of_its_fetch_is_fetched(life: Any, words: Any, race: Race, swap: bool) -> None:
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    life.fresh()
    parse = life.job(Stage.PARSE)
    race.run(settling(life, fetch, Buried(reason="404")), settling(life, parse, words.said("d1")), swap=swap)
    assert "fetching" == life.row(signing)["state"]
    life.settle(life.job(Stage.FETCH), Buried(reason="404"))
    assert ("dead", []) == (life.row(signing)["state"], life.rows(job))


@ORDERS
def test_a_terminal_event_that_meets_a_fetch_that_waits_or_ends_loses_nothing(
    life: Any, words: Any, race: Race, swap: bool
) -> None:
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    life.fresh()
    parse = life.job(Stage.PARSE)
    declined = Closed(type="t", sender_id="", reason="declined", concerns=(DocumentRef(id="d1"),))
    race.run(settling(life, fetch, Again(delay=5, waiting=True)), settling(life, parse, declined), swap=swap)
    life.clock.advance(5)
    again = life.job(Stage.FETCH)
    life.fresh()
    parse = life.job(Stage.PARSE)
    race.run(settling(life, again, words.fetched()), settling(life, parse, declined), swap=swap)
    assert ("complete", []) == (life.row(signing)["state"], life.rows(job))


def test_two_events_of_a_new_signing_at_once_make_one_row_and_one_fetch(life: Any, words: Any, race: Race) -> None:
    life.fresh()
    life.fresh()
    one, other = life.claim().jobs
    race.run(settling(life, one, words.said("d1")), settling(life, other, words.said("d1")))
    assert (2, 2) == (life.row(signing)["wanted"], len(life.rows(signing_event)))
    assert "fetch" == life.row(job)["stage"]


def test_a_fetch_takes_no_delivery_along_that_another_worker_is_claiming(life: Any, words: Any, race: Race) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    life.settle(life.job(Stage.DELIVER), Refetch(reason="gone", delay=0))
    fetch = life.claim("source:contracts").jobs[0]
    claims, settled = race.run(
        claiming("sink:archive"),
        settling(life, fetch, words.fetched(wanted=2, parts=()), keep={"sink:archive": 1}, worker="w1"),
    )
    assert (1, ()) == (len(claims.jobs), settled.kept)
    assert life.store.holds(claims.jobs[0])


@ORDERS
def test_a_delivery_that_loses_its_artifacts_while_they_are_fetched_is_served(
    life: Any, words: Any, race: Race, swap: bool
) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    deliver = life.job(Stage.DELIVER)
    life.speak("d1", meaning=Meaning.CHANGED)
    fetch = life.job(Stage.FETCH)
    lost = Refetch(reason="gone", delay=3600)
    race.run(settling(life, deliver, lost), settling(life, fetch, words.fetched(wanted=2, parts=())), swap=swap)
    life.settle(life.claim("source:contracts").jobs[0], words.fetched(wanted=3, parts=()))
    assert deliver.id == life.job(Stage.DELIVER).id


@ORDERS
def test_copies_of_one_callback_in_two_processes_make_one_event(life: Any, race: Race, swap: bool) -> None:
    one, other = life.event(b"same"), life.event(b"same")
    first, second = race.run(
        lambda tx: accept.accept(tx, [one])[0], lambda tx: accept.accept(tx, [other])[0], swap=swap
    )
    assert {True, False} == {first.new, second.new}
    assert first.event_id == second.event_id == life.row(event)["id"]
    assert 1 == len(life.rows(job))


def test_two_releases_at_once_let_a_delivery_go_once(life: Any, words: Any, race: Race) -> None:
    life.fetch("d1", deliveries=(words.bundle(),))
    deliver = life.job(Stage.DELIVER)
    life.settle(deliver, Buried(reason="conflict", held=True))
    order = ReplayOrder(ids=(deliver.ref,), release=True)
    done = race.run(lambda tx: replay.replay(tx, [order])[0][0], lambda tx: replay.replay(tx, [order])[0][0])
    assert [True, False] == [one.ok for one in done]
    assert ("waiting", 1) == (life.row(delivery)["state"], len(life.rows(job)))


def test_events_and_fetches_in_a_crowd_leave_nothing_unserved(
    life: Any, words: Any, open_store: Callable[[], SqlStore], at_once: Callable[..., list[Any]]
) -> None:
    """Two processes parse events that speak of the same documents in opposite orders, and fetch them meanwhile."""
    documents = ("d1", "d2", "d3")
    stores = [life.store, open_store()]
    left = threading.Semaphore(30)
    ends = itertools.count()

    def outcome(store: SqlStore, claimed: Job) -> Outcome:
        if claimed.stage is Stage.FETCH:
            wanted = store.signing(claimed.ref).wanted
            return cast(Outcome, words.fetched(wanted=wanted, parts=(), lacking=("certificate",)))
        order = documents if next(ends) % 2 else documents[::-1]
        return cast(Outcome, words.said(*order))

    def work(number: int) -> None:
        store = stores[number % 2]
        while left.acquire(blocking=False):
            persist(lambda: life.accept(f"{number} {next(ends)}".encode(), store=store))
            for claimed in persist(lambda: life.claim(store=store, worker=f"w{number}", total=2)).jobs:
                ended = outcome(store, claimed)
                persist(partial(life.settle, claimed, ended, store=store))

    at_once(*(lambda n=number: work(n) for number in range(4)))
    while jobs := life.claim().jobs:
        for claimed in jobs:
            life.settle(claimed, outcome(life.store, claimed))
    assert {("partial", True)} == {(row["state"], row["wanted"] == row["fetched"]) for row in life.rows(signing)}
    assert (30, 90, []) == (len(life.rows(event)), len(life.rows(signing_event)), life.rows(job))


def test_a_delivery_is_run_by_one_worker_at_a_time_while_others_claim(
    life: Any, words: Any, open_store: Callable[[], SqlStore], at_once: Callable[..., list[Any]]
) -> None:
    other = open_store()
    life.speak("d1")
    fetch = life.job(Stage.FETCH)
    deliveries = tuple(words.bundle(sink=f"s{number}") for number in range(12))
    lanes = tuple(f"sink:s{number}" for number in range(12))
    keep = dict.fromkeys(lanes, 1)
    settled, *claims = at_once(
        lambda: life.settle(fetch, words.fetched(deliveries=deliveries), keep=keep, worker="w1"),
        *(lambda: life.claim(*lanes, store=other, worker="w2") for _ in range(5)),
    )
    taken = [one.ref for one in (*settled.kept, *(one for batch in claims for one in batch.jobs))]
    assert sorted({one.id for one in deliveries}) == sorted(taken)
    for one in settled.kept:
        assert life.settle(one, Delivered(receipt=words.receipt())).ours


def test_a_job_that_goes_from_state_to_state_is_counted_at_every_moment(
    life: Any, open_store: Callable[[], SqlStore], at_once: Callable[..., list[Any]]
) -> None:
    other, moving = open_store(), threading.Event()
    life.fresh()
    moving.set()

    def count() -> set[float]:
        found = {sum(n for (name, _), n in other.gauges().items() if name == "jobs") for _ in range(60)}
        moving.clear()
        return found

    def move() -> None:
        while moving.is_set():
            life.store.give_back(life.claim().jobs)

    assert {1} == at_once(count, move)[0]

"""Callbacks that never came are found in the provider's list; one that came by both ways is forwarded once."""

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa

from tests.conftest import START
from tests.contracts.way import Switch, Way
from tests.kinds import can_list, is_described
from webhook_svc.core.ids import digest, new_id
from webhook_svc.core.outgoing import Listed
from webhook_svc.core.retry import RetryPolicy
from webhook_svc.core.template import Template
from webhook_svc.core.types import DocumentRef, Meaning, Part, RawRequest, Receipt, SourceEvent
from webhook_svc.core.work import Haul, Look, NewEvent, Noted, Reconciled, Wish
from webhook_svc.download.fetch import Fetcher
from webhook_svc.log import quiet
from webhook_svc.pipeline.parties import Parties, Source, Target
from webhook_svc.pipeline.reconcile import Reconcile
from webhook_svc.pipeline.run import Runner
from webhook_svc.pipeline.stages import Stages
from webhook_svc.simulators import SIMULATORS
from webhook_svc.store import reconcile
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import attempt, delivery, event, signing
from webhook_svc.vault.local import LocalVault

LISTED = [name for name in SIMULATORS.names() if can_list(name)]
SIGNINGS = 40


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    with closing(Switch()) as one:
        yield one


@pytest.fixture
def way_to(sqlite_url: str, clock: Any, switch: Switch, tmp_path: Path) -> Iterator[Callable[[str], Way]]:
    ways: list[Way] = []
    store = SqlStore(sqlite_url, clock=clock)

    def way_to(name: str) -> Way:
        ways.append(Way(name, tmp_path, store, clock, switch))
        return ways[-1]

    yield way_to
    for way in ways:
        way.close()
    store.close()


def sweeper(way: Way, home: Path, worker: str = "w1", **more: Any) -> Reconcile:
    values: dict[str, Any] = {"store": way.store, "fetcher": Fetcher(LocalVault(home / "vault")), "hold": 60.0, **more}
    return Reconcile(parties=way.made.parties, worker=worker, **values)


def drop_and_shuffle(way: Way, count: int, seed: int) -> tuple[set[str], list[RawRequest]]:
    """So many signings complete: the callbacks of 30 % are never sent, the others come twice and in any order."""
    chance = random.Random(seed)
    lost = set(chance.sample([f"d-{number}" for number in range(count)], count * 3 // 10))
    callbacks: list[RawRequest] = []
    for number in range(count):
        way.simulator.misbehave("dropped", times=f"d-{number}" in lost)
        way.simulator.misbehave("duplicate", times=f"d-{number}" not in lost)
        callbacks += way.simulator.finish(f"d-{number}")
    chance.shuffle(callbacks)
    return lost, callbacks


def assert_each_was_delivered_once(way: Way, count: int) -> None:
    expected = {sha256(way.document(f"d-{number}")): 1 for number in range(count)}
    assert expected == Counter(map(sha256, way.files().values()))
    assert (["delivered"] * count, []) == (way.deliveries(), way.dead())


@pytest.mark.parametrize("name", LISTED)
def test_what_the_provider_never_told_is_found_and_everything_is_delivered_once(
    name: str, way_to: Callable[[str], Way], tmp_path: Path
) -> None:
    way, signings = way_to(name), SIGNINGS // 4 if is_described(name) else SIGNINGS
    lost, callbacks = drop_and_shuffle(way, signings, seed=7)
    early, late = callbacks[: len(callbacks) // 2], callbacks[len(callbacks) // 2 :]

    assert {200} >= {way.receive(callback) for callback in early}
    way.work()
    (looked,) = sweeper(way, tmp_path).due()
    assert ("", True) == (looked.error, len(lost) <= len(looked.new) <= looked.listed)
    assert {200} >= {way.receive(callback) for callback in late}
    way.rest()
    assert_each_was_delivered_once(way, signings)

    again = sweeper(way, tmp_path).now("contracts")
    way.rest()
    assert ("", looked.listed) == (again.error, again.listed)
    assert_each_was_delivered_once(way, signings)


@pytest.mark.parametrize("canceled", [False, True])
def test_a_document_of_which_okdokument_does_not_say_how_it_ended_is_found_and_left_to_a_person(
    canceled: bool, way_to: Callable[[str], Way], tmp_path: Path
) -> None:
    way = way_to("okdokument")
    way.simulator.misbehave("callback_failed")
    assert [] == (way.simulator.cancel("d-1") if canceled else way.simulator.finish("d-1"))
    (looked,) = sweeper(way, tmp_path).due()
    way.rest()
    assert (["d-1"], 1) == ([ref.id for ref in looked.new], len(looked.warnings))
    assert ({}, []) == (way.files(), way.deliveries())
    (letter,) = way.dead()
    assert "whether the signer submitted or canceled is not known" in letter["reason"]


# --- a worker that is killed --------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing that the worker would do after this is done."""


def test_a_worker_that_is_killed_while_it_reads_the_list_is_replaced_and_nothing_is_lost(
    way_to: Callable[[str], Way], clock: Any, tmp_path: Path
) -> None:
    way = way_to("firma")
    drop_and_shuffle(way, 10, seed=7)

    def die(*_: Any) -> Any:
        raise Killed

    fetcher: Any = SimpleNamespace(listed=die)
    dying: Any = SimpleNamespace(reconciliations=way.store.reconciliations, look=way.store.look, reconciled=die)
    with pytest.raises(Killed):
        sweeper(way, tmp_path, "killed", store=dying, fetcher=fetcher).due()

    assert [] == sweeper(way, tmp_path, "w2").due()
    clock.advance(61)
    (looked,) = sweeper(way, tmp_path, "w2").due()
    way.rest()
    assert ("", 10) == (looked.error, len(looked.new))
    assert_each_was_delivered_once(way, 10)


def test_a_worker_that_is_killed_while_it_stores_the_list_is_replaced_and_nothing_is_doubled(
    way_to: Callable[[str], Way], clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "BATCH", 3)
    way = way_to("firma")
    drop_and_shuffle(way, 10, seed=7)
    kept = iter([1, 2])

    def die_after_two(done: Reconciled) -> Noted:
        for portion in reconcile.portions(done):
            if next(kept, None) is None:
                raise Killed
            way.store._submit(reconcile.store, portion)
        raise Killed

    dying: Any = SimpleNamespace(
        reconciliations=way.store.reconciliations, look=way.store.look, reconciled=die_after_two
    )
    with pytest.raises(Killed):
        sweeper(way, tmp_path, "killed", store=dying).due()
    assert (6, START) == (len(way.rows(event)), way.store.reconciliations()["contracts"].mark)
    way.work()

    clock.advance(61)
    (looked,) = sweeper(way, tmp_path, "w2").due()
    way.rest()
    assert (4, 6) == (len(looked.new), looked.known)
    assert_each_was_delivered_once(way, 10)


# --- races --------------------------------------------------------------------------------------------------------

RACES, BATCH = 500, 10
"""On each of the two stores: a thousand in all."""


@dataclass
class Outside:
    """A provider whose documents are always there, and a sink: both count, by document."""

    max_path: ClassVar[int] = 1024
    max_bytes: ClassVar[int | None] = None
    fetched: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        return [SourceEvent(type="done", meaning=Meaning.READY, documents=(DocumentRef(id=request.body.decode()),))]

    def fetch(self, _provider: Any, _http: Any, ref: DocumentRef, **_: Any) -> Haul:
        with self.lock:
            self.fetched[ref.id] += 1
        return Haul(parts=(Part(kind="document", name="deed.pdf", sha256=sha256(ref.id.encode()), size=9),))

    def deliver(self, bundle: Any, _progress: Any) -> Receipt:
        with self.lock:
            self.delivered[bundle.document] += 1
        return Receipt(location=bundle.document, proof="counted")


@pytest.fixture
def _silence() -> Iterator[None]:
    """Five thousand lines would take longer than what they tell of."""
    with quiet():
        yield


def a_callback(document: str) -> NewEvent:
    return NewEvent(
        id=new_id("evt", START), key=digest("event", document), source="contracts", delivery_id="",
        verified_by="", hint=False, request=RawRequest(body=document.encode()),
    )  # fmt: skip


def a_runner(store: SqlStore, clock: Any, outside: Any, parties: Parties) -> Runner:
    vault: Any = SimpleNamespace(has=lambda _: True)
    policy = RetryPolicy()
    stages = Stages(parties=parties, store=store, vault=vault, fetcher=outside, policy=policy, clock=clock)
    return Runner(
        stages=stages, store=store, policy=policy, clock=clock, random=lambda: 0.0, worker=f"w{id(store)}", lease=60.0
    )


@pytest.mark.usefixtures("_silence")
def test_callbacks_that_race_with_the_list_leave_one_delivery_each(
    store: SqlStore, open_store: Callable[[], SqlStore], clock: Any
) -> None:
    """Callbacks, listings and two workers, each with a store of its own as if it were a process, all at once."""
    outside: Any = Outside()
    nothing: Any = None
    source = Source(
        name="contracts", provider=outside, scheme=nothing, http=nothing, sinks=("archive",), parts=("document",)
    )
    target = Target(name="archive", sink=outside, path=Template.parse("{document}/{filename}"))
    parties = Parties(sources={"contracts": source}, sinks={"archive": target})
    rounds = [[f"d{start + number}" for number in range(BATCH)] for start in range(0, RACES, BATCH)]
    start_together, over = threading.Barrier(2), threading.Event()
    lister, workers = open_store(), [store, open_store()]
    look = lister.look("contracts", "sweeper", 60.0)
    assert isinstance(look, Look)

    def call() -> None:
        with ThreadPoolExecutor(BATCH) as senders:
            for documents in rounds:
                start_together.wait(30)
                accepted = senders.map(lambda one: store.accept(a_callback(one), 30.0), documents)
                assert all(one.new for one in accepted)

    def list_them() -> None:
        for documents in rounds:
            start_together.wait(30)
            lister.reconciled(Reconciled(look=look, rows=tuple(Listed(ref=DocumentRef(id=one)) for one in documents)))

    def work(own: SqlStore) -> None:
        runner = a_runner(own, clock, outside, parties)
        wish = Wish(worker=runner.worker, lanes=dict.fromkeys(parties.lanes(), 16), total=16, lease=60.0, idle=True)
        with ThreadPoolExecutor(16) as slots:
            while not over.is_set() or own.lanes():
                jobs = own.claim(wish).jobs
                if not list(slots.map(lambda job: runner.run(job, dict), jobs)):
                    own.wait(0.05)

    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(work, one) for one in workers]
        racing = [threads.submit(call), threads.submit(list_them)]
        try:
            for one in racing:
                one.result(120)
        finally:
            over.set()
        for one in working:
            one.result(120)

    documents = {document: 1 for batch in rounds for document in batch}
    assert (documents, documents) == (outside.fetched, outside.delivered)
    assert [("complete", RACES), ("delivered", RACES)] == [*states(store, signing), *states(store, delivery)]
    assert [("parsed", True)] == [(state, count >= RACES) for state, count in states(store, event)]
    assert {("parse", "done"), ("fetch", "done"), ("deliver", "done")} == outcomes(store)


def states(store: SqlStore, table: sa.Table) -> list[tuple[str, int]]:
    with store.database.reader.connect() as connection:
        rows = connection.execute(sa.select(table.c.state, sa.func.count()).group_by(table.c.state))
        return [(row[0], row[1]) for row in rows]


def outcomes(store: SqlStore) -> set[tuple[str, str]]:
    with store.database.reader.connect() as connection:
        return {(row[0], row[1]) for row in connection.execute(sa.select(attempt.c.stage, attempt.c.outcome))}

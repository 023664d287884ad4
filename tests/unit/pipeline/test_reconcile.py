"""A look at a provider's list: from when, what it leaves behind, and what becomes of it when things go wrong."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from webhook_svc.core.asking import Looked
from webhook_svc.core.errors import Ignored, NotReady, Permanent, Retryable, StoreUnavailable
from webhook_svc.core.outgoing import Call, Listed, Request, Warn
from webhook_svc.core.types import DocumentRef
from webhook_svc.core.work import Noted
from webhook_svc.download.fetch import Fetcher
from webhook_svc.pipeline.parties import Parties, Source
from webhook_svc.pipeline.reconcile import Reconcile
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import event, reconciliation

HOUR = 3600.0
List = Callable[[float], Iterator[Any]]


def row(document: str, completed: float | None = None, name: str = "") -> Listed:
    return Listed(ref=DocumentRef(id=document, name=name), completed=completed)


@dataclass
class Provider:
    """Lists what it is told to, and remembers from when it was asked."""

    source: str = "contracts"
    says: Any = ()
    asked: list[float] = field(default_factory=list)

    def completed_since(self, when: float) -> Any:
        self.asked.append(when)
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says(when) if callable(self.says) else (one for one in self.says)


@dataclass
class World:
    """A store, and workers of that name that look at lists with it. `clock` is the store's."""

    store: SqlStore
    clock: Any
    monotonic: float = 0.0

    def __post_init__(self) -> None:
        self.provider = Provider()
        self.every: dict[str, float] = {"contracts": 1800.0}
        self.providers: dict[str, Any] = {"contracts": self.provider}
        self.http: Any = SimpleNamespace(call=lambda _request, limit: SimpleNamespace(limit=limit))

    def reconcile(self, worker: str = "w1", **more: Any) -> Reconcile:
        vault: Any = None
        sources = {name: self._source(name) for name in self.every}
        values: dict[str, Any] = {
            "store": self.store,
            "parties": Parties(sources=sources, sinks={}),
            "fetcher": Fetcher(vault),
            "worker": worker,
            "hold": 60.0,
            "monotonic": lambda: self.monotonic,
        }
        return Reconcile(**{**values, **more})

    def _source(self, name: str) -> Source:
        nothing: Any = None
        return Source(
            name=name, provider=self.providers[name], scheme=nothing, http=self.http, reconcile=self.every[name]
        )

    @property
    def row(self) -> Any:
        return self.store.reconciliations()["contracts"]

    def events(self) -> int:
        return len(self.rows(event))

    def rows(self, table: Any) -> list[Any]:
        with self.store.database.reader.connect() as connection:
            return list(connection.execute(table.select()))


@pytest.fixture
def world(sqlite_url: str, clock: Any) -> Iterator[World]:
    store = SqlStore(sqlite_url, clock=clock)
    yield World(store, clock)
    store.close()


# --- from when, and when again ------------------------------------------------------------------------------------


def test_the_first_look_reaches_back_behind_the_moment_at_which_the_source_was_first_seen(world: World) -> None:
    world.reconcile().due()
    assert [world.clock() - HOUR] == world.provider.asked


def test_the_next_look_reaches_back_behind_the_newest_signing_of_the_last(world: World) -> None:
    start = world.clock()
    world.provider.says = [row("d1", start + 500), row("d2", start + 900), row("d3")]
    world.clock.advance(1000)
    world.reconcile().now("contracts", start - HOUR)
    world.clock.advance(1800)
    world.reconcile().due()
    assert [start - HOUR, start + 1000 - HOUR] == world.provider.asked
    world.provider.says = [row("d4", start + 1500)]
    world.reconcile().now("contracts")
    world.reconcile().now("contracts")
    assert start + 1500 - HOUR == world.provider.asked[-1]


def test_a_time_from_the_future_moves_the_mark_to_now_at_most(world: World) -> None:
    world.provider.says = [row("d1", world.clock() + 1e9), row("d2", float("inf")), row("d3", float("nan"))]
    world.reconcile().due()
    assert (world.clock(), 3) == (world.row.mark, world.events())


def test_a_list_is_looked_at_when_it_is_due_and_not_before(world: World) -> None:
    reconcile = world.reconcile()
    asked = []
    for _ in range(5):
        asked.append(len(reconcile.due()))
        world.clock.advance(600)
    assert [1, 0, 0, 1, 0] == asked


def test_a_source_that_is_not_to_be_looked_at_is_left_alone_but_a_person_may(world: World) -> None:
    world.every["contracts"] = 0.0
    assert [] == world.reconcile().due()
    world.provider.says = [row("d1")]
    looked = world.reconcile().now("contracts")
    assert (1, None) == (len(looked.new), looked.next_at)


def test_one_source_after_the_other_is_looked_at_and_trouble_stays_with_its_own(world: World) -> None:
    world.every["inhouse"] = 600.0
    world.providers["inhouse"] = Provider(source="inhouse", says=[row("d1")])
    world.provider.says = RuntimeError("hunter2")
    assert [("contracts", 0), ("inhouse", 1)] == [(one.source, len(one.new)) for one in world.reconcile().due()]


def test_what_another_worker_reads_is_passed_over_and_a_person_is_told_who_it_is(world: World) -> None:
    assert world.store.look("contracts", "w9", 60.0) is not None
    expected = Looked(source="contracts", error="its list is being read by w9")
    assert ([], expected) == (world.reconcile().due(), world.reconcile().now("contracts"))
    assert (expected, []) == (world.reconcile().dry_run("contracts"), world.provider.asked)


# --- what it brings -----------------------------------------------------------------------------------------------


def test_a_look_tells_what_is_new_and_what_was_known(world: World) -> None:
    world.provider.says = [row("d1", 7.0, "Deed"), row("d2")]
    first, again = world.reconcile().now("contracts"), world.reconcile().now("contracts")
    refs = (DocumentRef(id="d1", name="Deed", completed=7.0), DocumentRef(id="d2"))
    assert (2, 0, refs) == (first.listed, first.known, first.new)
    assert (2, 2, (), world.clock() + 1800) == (again.listed, again.known, again.new, again.next_at)


def test_warnings_of_the_provider_are_told_and_noted(world: World) -> None:
    world.provider.says = [Warn(message="49 failures in a row"), row("d1"), Warn(message="the hook is off")]
    looked = world.reconcile().now("contracts")
    assert ("49 failures in a row", "the hook is off") == looked.warnings
    assert "49 failures in a row; the hook is off" == world.row.note
    world.provider.says = []
    world.reconcile().now("contracts")
    assert "" == world.row.note


def test_a_look_from_an_older_time_brings_more_and_never_moves_the_mark_back(world: World) -> None:
    world.reconcile().due()
    before = world.row.mark
    world.provider.says = [row("old", before - 9 * HOUR)]
    looked = world.reconcile().now("contracts", before - 10 * HOUR)
    assert (before - 10 * HOUR, 1, before) == (world.provider.asked[-1], len(looked.new), world.row.mark)


def test_a_look_that_does_not_reach_back_to_the_mark_leaves_mark_and_schedule_alone(world: World) -> None:
    world.reconcile().due()
    before = world.row
    world.clock.advance(9 * HOUR)
    world.provider.says = [row("d1", world.clock() - 60)]
    looked = world.reconcile().now("contracts", world.clock() - HOUR)
    assert 1 == len(looked.new)
    assert (before.mark, before.next_at, before.looked) == (world.row.mark, world.row.next_at, world.row.looked)
    world.reconcile().due()
    assert before.mark - HOUR == world.provider.asked[-1]


def test_a_dry_run_tells_the_same_and_changes_nothing(world: World) -> None:
    world.provider.says = [row("d1"), row("d2"), row("d2")]
    dry = world.reconcile().dry_run("contracts")
    assert ([], []) == (world.rows(event), world.rows(reconciliation))
    wet = world.reconcile().now("contracts")
    assert (wet.new, wet.listed, wet.known) == (dry.new, dry.listed, dry.known)
    before = world.rows(reconciliation)
    assert () == world.reconcile().dry_run("contracts", 5.0).new
    assert (before, 5.0) == (world.rows(reconciliation), world.provider.asked[-1])


# --- when things go wrong -----------------------------------------------------------------------------------------

TROUBLE = [
    (Retryable("it answered 500"), "it answered 500"),
    (Permanent("it answered 401: the key is not accepted"), "it answered 401: the key is not accepted"),
    (NotReady("not now"), "not now"),
    (Ignored("nothing"), "nothing"),
    (RuntimeError("hunter2"), "unforeseen RuntimeError"),
    (SystemExit(3), "unforeseen SystemExit"),
]


@pytest.mark.parametrize(("error", "said"), TROUBLE, ids=lambda one: type(one).__name__)
def test_whatever_a_provider_raises_is_noted_and_looked_at_again_later(
    world: World, error: BaseException, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start = world.clock()
    world.provider.says = error
    (looked,) = world.reconcile().due()
    assert looked.error.startswith(said)
    pause = 300 if isinstance(error, Retryable) else 1800
    assert (looked.error, start, start + pause, None, "") == (
        world.row.note,
        world.row.mark,
        world.row.next_at,
        world.row.looked,
        world.row.held_by,
    )
    printed = capsys.readouterr().out
    assert ("reconcile.failed" in printed, "hunter2" in printed) == (True, False)


@pytest.mark.parametrize(("error", "said"), TROUBLE[:-1], ids=lambda one: type(one).__name__)
def test_a_dry_run_tells_what_a_provider_raises(world: World, error: BaseException, said: str) -> None:
    world.provider.says = error
    assert world.reconcile().dry_run("contracts").error.startswith(said)


@pytest.mark.parametrize("says", [lambda _: None, lambda _: iter([row("d1")]), [7], [row("d1", "soon")], [None]])  # type: ignore[arg-type]  # as a careless plugin would
def test_a_provider_that_does_not_keep_to_the_surface_is_noted_too(world: World, says: Any) -> None:
    world.provider.says = says
    (looked,) = world.reconcile().due()
    assert ("" != looked.error, 0) == (world.row.note == looked.error, world.events())


@pytest.mark.parametrize(("after", "expected"), [(60.0, 300.0), (7200.0, 7200.0), (1e9, 86400.0)])
def test_a_retry_after_is_honoured_within_reason(world: World, after: float, expected: float) -> None:
    world.provider.says = Retryable("429", after=after)
    (looked,) = world.reconcile().due()
    assert world.clock() + expected == looked.next_at == world.row.next_at


def test_what_was_listed_before_the_trouble_is_not_stored_by_halves(world: World) -> None:
    def half(_: float) -> Iterator[Any]:
        yield row("d1", world.clock() + 9)
        raise Retryable("reset")

    world.provider.says = half
    world.reconcile().due()
    assert (0, world.clock()) == (world.events(), world.row.mark)


def test_a_person_who_ends_it_leaves_the_list_to_the_next(world: World) -> None:
    world.provider.says = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        world.reconcile().now("contracts")
    world.provider.says = [row("d1")]
    assert [1] == [len(one.new) for one in world.reconcile("w2").due()]


def test_a_worker_that_died_while_it_read_is_replaced_when_its_time_is_over(world: World) -> None:
    """Killed: nothing of what it would have said at its end is said."""
    world.provider.says = [row("d1")]
    assert world.store.look("contracts", "dead", 60.0) is not None
    assert [] == world.reconcile("w2").due()
    world.clock.advance(61)
    assert [1] == [len(one.new) for one in world.reconcile("w2").due()]


# --- while a long list is read ------------------------------------------------------------------------------------


def pages(world: World, count: int, seconds: float) -> List:
    def listed(_: float) -> Iterator[Any]:
        for number in range(count):
            yield Call(request=Request(url=f"https://x/{number}"))
            yield row(f"d{number}")
            world.clock.advance(seconds)
            world.monotonic += seconds

    return listed


def test_a_long_list_is_held_on_to_while_it_is_read(world: World) -> None:
    world.provider.says = pages(world, 20, 25.0)
    (looked,) = world.reconcile().due()
    assert ("", 20) == (looked.error, len(looked.new))


def test_a_worker_that_was_too_slow_stops_when_another_has_taken_over(world: World) -> None:
    def slow(_: float) -> Iterator[Any]:
        yield row("d1")
        world.clock.advance(61)
        world.monotonic += 61
        assert world.store.look("contracts", "w2", 60.0) is not None
        yield Call(request=Request(url="https://x/2"))

    world.provider.says = slow
    (looked,) = world.reconcile().due()
    assert ("another worker took this look over", "w2", 0) == (looked.error, world.row.held_by, world.events())


def test_a_worker_that_is_stopped_ends_at_the_next_request_and_another_goes_on_at_once(world: World) -> None:
    stop = threading.Event()

    def long(_: float) -> Iterator[Any]:
        yield Call(request=Request(url="https://x/1"))
        stop.set()
        yield Call(request=Request(url="https://x/2"))

    world.provider.says = long
    (looked,) = world.reconcile().due(stop.is_set)
    assert looked.error.startswith("It was stopped")
    world.provider.says = [row("d1")]
    assert [] == world.reconcile().due(stop.is_set)
    assert [1] == [len(one.new) for one in world.reconcile("w2").due()]


# --- the loop -----------------------------------------------------------------------------------------------------


def test_the_loop_outlives_a_store_that_is_away(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    stopping, answers = threading.Event(), [StoreUnavailable("away"), RuntimeError("hunter2")]

    def known() -> Any:
        if answers:
            raise answers.pop(0)
        stopping.set()
        return {}

    store: Any = SimpleNamespace(reconciliations=known, look=lambda *_: None)
    world.reconcile(store=store).run(stopping, 0.001)
    printed = capsys.readouterr().out
    assert ["away" in printed, "RuntimeError" in printed, "hunter2" in printed] == [True, True, False]


def test_the_loop_looks_until_it_is_stopped(world: World) -> None:
    stopping = threading.Event()
    world.every["contracts"] = 1e-9  # due again at once

    def listed(_: float) -> Iterator[Any]:
        yield row(f"d{len(world.provider.asked)}")
        if len(world.provider.asked) == 3:
            stopping.set()

    world.provider.says = listed
    world.reconcile().run(stopping, 0.001)
    assert (3, 3) == (len(world.provider.asked), world.events())


def test_a_store_that_goes_away_before_the_end_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> Noted:
        raise StoreUnavailable("away")

    world.provider.says = [row("d1")]
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "reconciled", away)
        with pytest.raises(StoreUnavailable):
            world.reconcile().now("contracts")
    world.clock.advance(61)
    assert [1] == [len(one.new) for one in world.reconcile().due()]

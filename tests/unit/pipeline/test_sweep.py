"""Retention of documents: what nobody needs goes, what anybody needs stays, and what went can be fetched again."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.asking import Query, ReplayOrder
from webhook_svc.core.errors import Retryable
from webhook_svc.core.ids import digest, new_id
from webhook_svc.core.outgoing import Inline
from webhook_svc.core.ports import Progress, Sink
from webhook_svc.core.retry import RetryPolicy
from webhook_svc.core.template import Template
from webhook_svc.core.types import Delivery, DocumentRef, Meaning, RawRequest, Receipt, SourceEvent
from webhook_svc.core.work import NewEvent, Wish
from webhook_svc.download.fetch import Fetcher
from webhook_svc.pipeline.parties import Parties, Source, Target
from webhook_svc.pipeline.run import Runner
from webhook_svc.pipeline.stages import Stages
from webhook_svc.pipeline.sweep import ABANDONED, Sweep
from webhook_svc.store.sql import SqlStore
from webhook_svc.vault.local import LocalVault

DAY = 86400.0
PDF = b"%PDF-1.7\nthe deed\nstartxref\n0\n%%EOF\n"
SHA256 = hashlib.sha256(PDF).hexdigest()


class Memory(Sink):
    """Keeps what it is brought."""

    def __init__(self) -> None:
        super().__init__("archive", None, None)  # type: ignore[arg-type]  # it needs no client
        self.brought: list[bytes] = []

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:  # noqa: ARG002 - the surface
        for placed in delivery.files:
            with delivery.open(placed.part) as stream:
                self.brought.append(stream.read())
        return Receipt(location="memory", proof="kept")

    def check(self) -> str:
        return ""


@dataclass
class Provider:
    """Serves one document; `asked` counts how often."""

    source: str = "contracts"
    content: bytes = PDF
    asked: int = 0

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        return [SourceEvent(type="done", meaning=Meaning.READY, documents=(DocumentRef(id=request.body.decode()),))]

    def steps(self, _: DocumentRef) -> Iterator[Any]:
        self.asked += 1
        yield Inline(part="document", content=self.content)


@dataclass
class World:
    """A store, a vault, a provider and a sink, worked off step by step."""

    store: SqlStore
    vault: LocalVault
    clock: Any
    provider: Any = field(default_factory=Provider)
    sink: Memory = field(default_factory=Memory)

    def accept(self, document: str) -> None:
        event = NewEvent(
            id=new_id("evt", self.clock()), key=digest(document), source="contracts", delivery_id="",
            verified_by="", hint=False, request=RawRequest(body=document.encode()),
        )  # fmt: skip
        self.store.accept(event, 10.0)
        self.work()

    def work(self) -> None:
        """Until nothing is due."""
        runner, parties = self._runner(), self._parties()
        wish = Wish(worker="w1", lanes=parties.lanes(), total=8, lease=60.0, idle=True)
        while jobs := self.store.claim(wish).jobs:
            for job in jobs:
                runner.run(job, dict)

    def sweep(self, **more: Any) -> Sweep:
        return Sweep(**{"store": self.store, "vault": self.vault, "worker": "w1", "keep": 30 * DAY, **more})

    def later(self, days: float) -> None:
        """Time goes by; files are as old as they would be."""
        self.clock.advance(days * DAY)

    def age(self) -> None:
        """What was written a moment ago by this machine's clock was written now by the store's."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                os.utime(os.path.join(folder, name), (self.clock(), self.clock()))

    @property
    def root(self) -> Path:
        return Path(self.vault._tree.root)

    def state(self) -> Mapping[str, Any]:
        return self.store.list(Query(kind="deliveries"))[0]

    def _parties(self) -> Parties:
        source = Source(
            name="contracts", provider=self.provider, scheme=None, http=None, sinks=("archive",), parts=("document",)  # type: ignore[arg-type]  # neither is asked
        )  # fmt: skip
        target = Target(name="archive", sink=self.sink, path=Template.parse("{document}/{filename}"))
        return Parties(sources={"contracts": source}, sinks={"archive": target})

    def _runner(self) -> Runner:
        policy = RetryPolicy()
        stages = Stages(
            parties=self._parties(), store=self.store, vault=self.vault, fetcher=Fetcher(self.vault),
            policy=policy, clock=self.clock,
        )  # fmt: skip
        return Runner(
            stages=stages, store=self.store, policy=policy, clock=self.clock, random=lambda: 0.0,
            worker="w1", lease=60.0,
        )  # fmt: skip


@pytest.fixture
def world(store: SqlStore, clock: Any, tmp_path: Path) -> World:
    return World(store, LocalVault(tmp_path / "vault"), clock)


@pytest.fixture
def delivered(world: World) -> World:
    world.accept("d1")
    world.age()
    assert ([PDF], 1) == (world.sink.brought, world.provider.asked)
    return world


def test_a_document_stays_until_its_time_is_over_and_then_goes(delivered: World) -> None:
    delivered.later(29.9)
    assert ({}, True) == (delivered.sweep().clean(), delivered.vault.has(SHA256))
    delivered.later(0.2)
    assert ({"documents": 1}, False) == (delivered.sweep().clean(), delivered.vault.has(SHA256))
    assert {} == delivered.sweep().clean()


def test_a_document_that_another_signing_still_needs_stays(delivered: World) -> None:
    delivered.later(20)
    delivered.accept("d2")
    delivered.later(20)
    os.utime(next(delivered.root.rglob(SHA256)), (0, 0))
    assert ({}, True) == (delivered.sweep().clean(), delivered.vault.has(SHA256))


def test_a_replay_after_the_document_went_fetches_it_again_and_compares_it(delivered: World) -> None:
    delivered.later(31)
    delivered.sweep().clean()
    delivered.store.replay(ReplayOrder(ids=(delivered.state()["id"],), again=True, reason="lost"))
    delivered.work()
    assert ([PDF, PDF], 2, "delivered") == (
        delivered.sink.brought,
        delivered.provider.asked,
        delivered.state()["state"],
    )
    delivered.age()
    delivered.later(29)
    assert {} == delivered.sweep().clean()


def test_a_replay_whose_provider_now_serves_other_bytes_is_held(delivered: World) -> None:
    delivered.later(31)
    delivered.sweep().clean()
    delivered.provider.content = PDF.replace(b"deed", b"fake")
    delivered.store.replay(ReplayOrder(ids=(delivered.state()["id"],), again=True, reason="lost"))
    delivered.work()
    assert ([PDF], "held") == (delivered.sink.brought, delivered.state()["state"])


def test_a_copy_that_was_damaged_is_fetched_again_and_delivered(world: World) -> None:
    def spoil_once(delivery: Delivery, progress: Progress) -> Receipt:
        path = next(world.root.rglob(SHA256))
        path.write_bytes(PDF[:-2] + b"?\n")
        world.sink.deliver = Memory.deliver.__get__(world.sink)  # type: ignore[method-assign]
        return world.sink.deliver(delivery, progress)

    world.sink.deliver = spoil_once  # type: ignore[method-assign]
    world.accept("d1")
    assert ([PDF], 2) == (world.sink.brought, world.provider.asked)


def test_bytes_of_a_fetch_that_came_to_nothing_go_when_they_are_old(world: World) -> None:
    with world.vault.writer() as writer:
        writer.write(b"half of a bundle")
        orphan = writer.commit()
    world.age()
    world.later(29)
    assert {} == world.sweep().clean()
    world.later(2)
    assert ({"documents": 1}, False) == (world.sweep().clean(), world.vault.has(orphan.sha256))


def test_in_a_shared_vault_bytes_that_the_database_does_not_know_are_somebody_elses(delivered: World) -> None:
    with delivered.vault.writer() as writer:
        writer.write(b"of another database")
        foreign = writer.commit()
    delivered.age()
    delivered.later(31)
    shared = delivered.sweep(vault=LocalVault(delivered.root, shared=True))
    assert {"documents": 1} == shared.clean()
    assert [False, True] == [delivered.vault.has(one) for one in (SHA256, foreign.sha256)]


def test_a_shared_vault_is_looked_through_by_one_worker_at_a_time(delivered: World) -> None:
    vault = LocalVault(delivered.root, shared=True)
    delivered.later(31)
    assert delivered.store.lease("vault", "w2", 60.0)
    assert {} == delivered.sweep(vault=vault).clean()
    delivered.clock.advance(61)
    assert {"documents": 1} == delivered.sweep(vault=vault).clean()


def test_a_look_that_is_cut_short_is_made_up_for_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_svc.pipeline.sweep.BATCH", 2)
    for number in range(5):
        with world.vault.writer() as writer:
            writer.write(b"%d" % number)
            writer.commit()
    world.age()
    world.later(31)
    answers = iter([False, False, True])
    assert {"documents": 2} == world.sweep().clean(lambda: next(answers))
    assert {"documents": 3} == world.sweep().clean()


def test_a_vault_that_fails_loses_nothing(delivered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    delivered.later(31)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", fail)
        with pytest.raises(Retryable):
            delivered.sweep().clean()
    assert delivered.vault.has(SHA256)
    assert {"documents": 1} == delivered.sweep().clean()


def test_what_dead_writers_left_goes_after_a_day(world: World) -> None:
    with world.vault.writer() as writer:
        writer.write(b"x")
        world.age()
        world.clock.advance(ABANDONED - 1)
        assert {} == world.sweep().clean()
        world.clock.advance(2)
        assert {"temporary": 1} == world.sweep().clean()


def test_sweeping_puts_expired_leases_right(world: World) -> None:
    event = NewEvent(
        id="evt_1", key=digest("x"), source="contracts", delivery_id="",
        verified_by="", hint=False, request=RawRequest(),
    )  # fmt: skip
    world.store.accept(event, 10.0)
    world.store.claim(Wish(worker="dead", lanes={"source:contracts": 1}, total=1, lease=60.0, idle=True))
    world.clock.advance(61)
    assert {"returned": 1} == world.sweep().sweep()

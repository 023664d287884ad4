"""The life of a callback in a few words, for the tests that hold both stores to the contract."""

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from webhook_svc.core.ids import digest, new_id
from webhook_svc.core.outcomes import Delivered, Fetched, Outcome, Parsed, Settled, Settlement
from webhook_svc.core.types import DocumentRef, Job, Meaning, Part, RawRequest, Receipt, Stage
from webhook_svc.core.work import Accepted, Claims, NewDelivery, NewEvent, Wish
from webhook_svc.store.sql import SqlStore

SOURCE = "contracts"
SINK = "archive"
LANES = (f"source:{SOURCE}", f"sink:{SINK}", "sink:legal")


@dataclass
class Life:
    """Steps that a web process and a worker take, each with what a test does not care about filled in."""

    store: SqlStore
    clock: Any
    _numbers: Any = field(default_factory=count)

    # --- callbacks ------------------------------------------------------------------------------------------------

    def event(self, body: bytes = b"{}", *, delivery_id: str = "", source: str = SOURCE, **request: Any) -> NewEvent:
        key = digest("event", source, delivery_id, hashlib.sha256(body).digest())
        return NewEvent(
            id=new_id("evt", self.clock()),
            key=key,
            source=source,
            delivery_id=delivery_id,
            verified_by="01234567",
            hint=False,
            request=RawRequest(path=f"/hooks/{source}", body=body, **request),
        )

    def accept(self, body: bytes = b"{}", *, store: SqlStore | None = None, **more: Any) -> Accepted:
        return (store or self.store).accept(self.event(body, **more), 20.0)

    def fresh(self) -> str:
        """An event that nobody sent before; its id."""
        return self.accept(f"event {next(self._numbers)}".encode()).event_id

    # --- work -----------------------------------------------------------------------------------------------------

    def claim(self, *lanes: str, store: SqlStore | None = None, **wish: Any) -> Claims:
        values: dict[str, Any] = {
            "worker": "w1",
            "lanes": dict.fromkeys(lanes or LANES, 64),
            "total": 64,
            "lease": 60.0,
            "idle": True,
        }
        return (store or self.store).claim(Wish(**{**values, **wish}))

    def job(self, stage: Stage) -> Job:
        """The only job that is due, which is of this stage."""
        (found,) = self.claim().jobs
        assert stage is found.stage
        return found

    def settle(self, job: Job, outcome: Outcome, *, store: SqlStore | None = None, **more: Any) -> Settled:
        now = self.clock()
        return (store or self.store).settle(Settlement(job=job, outcome=outcome, started=now, ended=now, **more))

    # --- stories --------------------------------------------------------------------------------------------------

    def speak(self, *documents: str, meaning: Meaning = Meaning.READY) -> str:
        """Another event that speaks of these documents arrives and is parsed; its id. Nothing else may be due."""
        event_id = self.fresh()
        self.settle(self.job(Stage.PARSE), said(*documents, meaning=meaning))
        return event_id

    def fetch(self, document: str = "d1", **haul: Any) -> str:
        """The document is spoken of and fetched; the id of its signing."""
        self.speak(document)
        job = self.job(Stage.FETCH)
        self.settle(job, fetched(**haul))
        return job.ref

    def deliver(self, document: str = "d1") -> str:
        """All the way, to one sink; the id of the delivery."""
        self.fetch(document, deliveries=(bundle(),))
        job = self.job(Stage.DELIVER)
        self.settle(job, Delivered(receipt=receipt()))
        return job.ref

    # --- looking --------------------------------------------------------------------------------------------------

    def rows(self, table: sa.Table, **equal: Any) -> list[Mapping[str, Any]]:
        query = sa.select(table).where(*(table.c[name] == value for name, value in equal.items()))
        with self.store.database.reader.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def row(self, table: sa.Table, **equal: Any) -> Mapping[str, Any]:
        (found,) = self.rows(table, **equal)
        return found


def said(*documents: str, meaning: Meaning = Meaning.READY) -> Parsed:
    refs = tuple((DocumentRef(id=document), meaning) for document in documents)
    return Parsed(type="signing.completed", sender_id="", documents=refs)


def part(name: str = "deed.pdf", kind: str = "document") -> Part:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return Part(kind=kind, name=name, sha256=sha256, size=4, content_type="application/pdf")


def bundle(*parts: Part, sink: str = SINK, supplement: int = 0, **more: Any) -> NewDelivery:
    parts = parts or (part(),)
    return NewDelivery(
        id=new_id("dlv", 1_790_000_000.0),
        sink=sink,
        supplement=supplement,
        parts=parts,
        paths=tuple(f"d1/{one.name}" for one in parts),
        manifest=b"{}",
        manifest_path="d1/manifest.json",
        **more,
    )


def fetched(*, wanted: int = 1, version: int = 1, parts: tuple[Part, ...] | None = None, **more: Any) -> Fetched:
    return Fetched(wanted=wanted, version=version, title="Deed", parts=(part(),) if parts is None else parts, **more)


def receipt(location: str = "archive/d1") -> Receipt:
    return Receipt(location=location, proof="read back", details={"etag": "abc"})


@pytest.fixture
def words() -> SimpleNamespace:
    """The outcomes and values above, for tests to say."""
    return SimpleNamespace(said=said, part=part, bundle=bundle, fetched=fetched, receipt=receipt)


@pytest.fixture
def life(store: SqlStore, clock: Any) -> Life:
    return Life(store, clock)


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Runs the calls on threads of their own; their results in order."""

    def run(*calls: Callable[[], Any]) -> list[Any]:
        with ThreadPoolExecutor(len(calls)) as threads:
            return [future.result(30) for future in [threads.submit(call) for call in calls]]

    return run

"""The store over one database: every write goes through its committer, every read through its reader."""

import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from .. import __version__
from ..core.asking import Backfill, Query, Replayed, ReplayOrder
from ..core.errors import ClaimLost, Permanent, StoreUnavailable
from ..core.lanes import LaneRow
from ..core.outcomes import Settled, Settlement
from ..core.outgoing import Listed
from ..core.store import Pending
from ..core.types import Job
from ..core.work import (
    Accepted,
    Claims,
    DeliveryRow,
    EventRow,
    Extra,
    Look,
    NewEvent,
    Noted,
    Reconciled,
    Reconciliation,
    RefusedCallback,
    SigningRow,
    Wish,
)
from . import accept, backfill, claim, gauges, lanes, listing, migrate, read, reconcile, replay, serving, settle, sweep
from .codec import dump
from .committer import Batch, Committer
from .engine import Tx, open_database
from .prepared import Prepared, given
from .steps import Steps
from .tables import delivery

PROGRESS_LIMIT = 8 * 1024

# What locks signings does so before anything in its transaction has locked jobs; what passes over locked rows never
# waits with locks that others wait for.
_FIRST: Final[tuple[Batch, ...]] = (settle.settle, replay.replay, backfill.hand_on)
_LAST: Final[tuple[Batch, ...]] = (claim.claim,)

_PROGRESS = Prepared(delivery.update().where(delivery.c.id == given("which")).values(progress=given("text")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Seconds."""

    payloads: float = 90 * 86400.0
    attempts: float = 365 * 86400.0


class SqlStore:
    """SQLite or Postgres, by the URL. Opens nothing before its first use. Safe to use after a fork, as long as no
    other thread is inside SQLite at that moment: its own locks would stay taken in the child."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] | None = None,
        retention: Retention | None = None,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        """In tests `clock` stands for the database's, and, unless `monotonic` is given, for one that is never set."""
        self.url = url
        self.database = open_database(url, clock)
        self._steps = Steps(monotonic or clock or time.monotonic)
        self.retention = retention or Retention()
        self.committer = Committer(self.database, self._committed, on_death, first=_FIRST, last=_LAST)
        self._plenty = False
        self._prepare_waiting()
        forked = weakref.WeakMethod(self._forked)
        os.register_at_fork(after_in_child=lambda: (reset := forked()) and reset())

    # --- writes ---------------------------------------------------------------------------------------------------

    def accepting(self, event: NewEvent, timeout: float) -> Pending[Accepted]:
        return self.committer.begin(accept.accept, event, size=len(event.request.body) + 1024, timeout=timeout)

    def accept(self, event: NewEvent, timeout: float) -> Accepted:
        return self.accepting(event, timeout).wait()

    def refusing(self, refused: RefusedCallback, keep: int, timeout: float) -> Pending[None]:
        return self.committer.begin(accept.keep_refused, (refused, keep), timeout=timeout)

    def refuse(self, refused: RefusedCallback, keep: int, timeout: float = 30.0) -> None:
        self.refusing(refused, keep, timeout).wait()

    def claim(self, wish: Wish) -> Claims:
        """Looks before it writes, unless the last claim left more behind than there were slots for."""
        if not self._plenty:
            with self._glancing() as driver:
                if not claim.is_due(driver, wish, self.database.own_time):
                    return Claims()
        result: Claims = self._submit(claim.claim, wish)
        self._plenty = claim.filled(wish, result)
        return result

    def settle(self, settlement: Settlement) -> Settled:
        result: Settled = self._submit(settle.settle, settlement)
        return result

    def renew(self, jobs: Iterable[Job], lease: float) -> frozenset[str]:
        result: frozenset[str] = self._submit(claim.renew, (tuple(jobs), lease))
        return result

    def give_back(self, jobs: Iterable[Job]) -> None:
        self._submit(claim.give_back, tuple(jobs))

    def save_progress(self, claimed: Job, state: Mapping[str, Any]) -> None:
        text = dump(dict(state))
        if len(text) > PROGRESS_LIMIT:
            raise Permanent(f"progress of {len(text)} bytes is more than {PROGRESS_LIMIT}")
        self._submit(_save_progress, (claimed, text))

    def probe(self, lane: str) -> bool:
        """Ends the pause of a lane, so that a job finds out now whether it answers again. False where it has none."""
        result: bool = self._submit(lanes.end_pause, lane)
        return result

    def attend(self, worker: str, lanes: Iterable[str], hold: float) -> None:
        order = serving.Attendance(worker=worker, lanes=tuple(lanes), version=__version__, hold=hold)
        self._submit(serving.attend, order)

    def leave(self, worker: str) -> None:
        self._submit(serving.leave, worker)

    def sweep(self, worker: str, hold: float = 60.0) -> Mapping[str, int]:
        order = sweep.SweepOrder(
            worker=worker, hold=hold, keep_payloads=self.retention.payloads, keep_attempts=self.retention.attempts
        )
        with self._reading() as connection:
            now = self.database.now(connection)
            if self._steps.recent(now, hold) or not sweep.is_due(connection, order, now):
                return {}
        result: Mapping[str, int] = self._submit(sweep.sweep, order)
        return result

    def lease(self, name: str, owner: str, hold: float) -> bool:
        result: bool = self._submit(sweep.lease_out, (name, owner, hold))
        return result

    def look(self, source: str, worker: str, hold: float, *, due: bool = True) -> Look | None:
        wish = reconcile.LookWish(source=source, worker=worker, hold=hold, due=due)
        result: Look | None = self._submit(reconcile.look, wish)
        return result

    def hold(self, look: Look) -> bool:
        result: bool = self._submit(reconcile.hold, look)
        return result

    def reconciled(self, done: Reconciled) -> Noted:
        return reconcile.total([self._submit(reconcile.store, portion) for portion in reconcile.portions(done)])

    def replay(self, order: ReplayOrder) -> list[Replayed]:
        result: list[Replayed] = self._submit(replay.replay, order)
        return result

    def hand_on(self, extras: Sequence[Extra]) -> frozenset[str]:
        result: frozenset[str] = self._submit(backfill.hand_on, tuple(extras))
        return result

    # --- reads ----------------------------------------------------------------------------------------------------

    def holds(self, claimed: Job) -> bool:
        with self._glancing() as driver:
            return read.holds(driver, claimed, self.database.own_time)

    def event(self, event_id: str) -> EventRow:
        with self._glancing() as driver:
            return read.read_event(driver, event_id)

    def signing(self, signing_id: str) -> SigningRow:
        with self._glancing() as driver:
            return read.read_signing(driver, signing_id)

    def spoken(self, signing_id: str) -> list[str]:
        with self._glancing() as driver:
            return read.read_spoken(driver, signing_id)

    def lacking(self, order: Backfill, after: str) -> list[str]:
        with self._reading() as connection:
            return backfill.lacking(connection, order, after)

    def delivery(self, delivery_id: str) -> DeliveryRow:
        with self._glancing() as driver:
            return read.read_delivery(driver, delivery_id)

    def reconciliations(self) -> Mapping[str, Reconciliation]:
        with self._reading() as connection:
            return reconcile.read_all(connection, self.database.now(connection))

    def unheard(self, source: str, rows: Iterable[Listed]) -> tuple[Listed, ...]:
        with self._reading() as connection:
            return reconcile.unheard(connection, source, rows)

    def needed(self, hashes: Collection[str], since: float) -> Mapping[str, bool]:
        with self._reading() as connection:
            return read.needed(connection, hashes, since)

    def list(self, query: Query) -> list[dict[str, Any]]:
        with self._reading() as connection:
            return listing.rows(connection, query)

    def timeline(self, some_id: str) -> dict[str, Any] | None:
        with self._reading() as connection:
            return listing.timeline(connection, some_id)

    def gauges(self) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
        with self._reading() as connection:
            now = self.database.now(connection)
            return {**gauges.gauges(connection, now), **serving.numbers(connection, now)}

    def lanes(self) -> dict[str, int]:
        """How many jobs each lane has; a lane without any is not named."""
        with self._reading() as connection:
            return gauges.lanes(connection)

    def unserved(self) -> Mapping[str, float]:
        """Lanes in which work waits and which no running worker serves, with the seconds it has been due."""
        with self._reading() as connection:
            return serving.unserved(connection, self.database.now(connection))

    def lane_rows(self) -> tuple[LaneRow, ...]:
        with self._reading() as connection:
            return serving.overview(connection, self.database.now(connection))

    def refused_request(self, refused_id: str) -> RefusedCallback | None:
        with self._reading() as connection:
            return listing.refused_request(connection, refused_id)

    def now(self) -> float:
        with self._reading() as connection:
            return self.database.now(connection)

    def ready(self) -> str:
        if not self.committer.alive:
            return "the committer has died"
        try:
            with self._reading() as connection:
                return migrate.missing(connection)
        except StoreUnavailable as error:
            return str(error)

    # --- life -----------------------------------------------------------------------------------------------------

    def migrate(self) -> str:
        """Brings the schema up to date; two at once are safe. Returns what was done."""
        with _translated():
            return migrate.migrate(self.database)

    def wait(self, timeout: float) -> None:
        self._listen()
        self._wake.wait(timeout)
        self._wake.clear()

    def poke(self) -> None:
        """Ends a `wait` in this process."""
        self._wake.set()

    def close(self) -> None:
        self._stopped.set()
        self._wake.set()
        self.committer.close()
        if self._listener is not None:
            self._listener.join()
        self.database.close()

    def _prepare_waiting(self) -> None:
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._listener: threading.Thread | None = None
        self._listening = threading.Lock()

    def _forked(self) -> None:
        """Threads, locks and connections are the parent's; the child begins as if it had just been opened."""
        self.database.reset()
        self.committer.reset()
        self._prepare_waiting()

    def _submit(self, batch: Batch, item: Any) -> Any:
        return self.committer.submit(batch, item)

    @contextmanager
    def _reading(self) -> Any:
        with _translated(), self.database.reader.connect() as connection:
            yield connection

    @contextmanager
    def _glancing(self) -> Any:
        with _translated(), self.database.glance() as driver:
            yield driver

    def _committed(self, made_work: bool) -> None:
        if made_work:
            self._wake.set()

    def _listen(self) -> None:
        with self._listening:
            if self._listener is None:
                arguments = (self._wake.set, self._stopped)
                self._listener = threading.Thread(
                    target=self.database.listen, args=arguments, name="listener", daemon=True
                )
                self._listener.start()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        first = str(getattr(error, "orig", None) or type(error).__name__).split("\n", 1)[0]
        raise StoreUnavailable(first[:200]) from error


def _save_progress(tx: Tx, items: Iterable[tuple[Job, str]]) -> list[Any]:
    return [_save_one(tx, claimed, text) for claimed, text in items]


def _save_one(tx: Tx, claimed: Job, text: str) -> ClaimLost | None:
    if not claim.fenced(tx, [claimed]):
        return ClaimLost("progress came too late: the delivery belongs to another worker")
    _PROGRESS.run(tx.driver, which=claimed.ref, text=text)
    return None

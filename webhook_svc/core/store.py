"""The durable state machine, as the pipeline, the web and the worker see it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from .asking import Backfill
from .outcomes import Settled, Settlement
from .outgoing import Listed
from .types import Job
from .work import (
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

Told = TypeVar("Told", covariant=True)


class Pending(Protocol[Told]):
    """A write that was begun. Nothing is promised before `wait` has returned; one may wait, once."""

    def wait(self) -> Told:
        """Returns once it is committed. StoreUnavailable where it is not, or takes longer than it may."""


class Store(Protocol):
    """The durable state machine. Every write is committed when the call returns, if it does not say that it only
    begins it; StoreUnavailable otherwise."""

    def accepting(self, event: NewEvent, timeout: float) -> Pending[Accepted]:
        """Begins to store it. The wait ends `timeout` seconds from now at the latest."""

    def refusing(self, refused: RefusedCallback, keep: int, timeout: float) -> Pending[None]:
        """Begins to store it, like `accepting`; the newest `keep` per source are kept."""

    def claim(self, wish: Wish) -> Claims: ...

    def settle(self, settlement: Settlement) -> Settled: ...

    def renew(self, jobs: Iterable[Job], lease: float) -> frozenset[str]:
        """Lengthens the leases that are still ours; returns the ids of jobs that were lost."""

    def give_back(self, jobs: Iterable[Job]) -> None:
        """The jobs wait again at once, at no cost to their tries."""

    def holds(self, job: Job) -> bool:
        """Is the claim still ours, and its lease not over?"""

    def save_progress(self, job: Job, state: Mapping[str, Any]) -> None:
        """Raises ClaimLost."""

    def event(self, event_id: str) -> EventRow: ...

    def signing(self, signing_id: str) -> SigningRow: ...

    def spoken(self, signing_id: str) -> Sequence[str]:
        """The ids of the newest events that spoke of it, newest first, whose bytes are still kept."""

    def lacking(self, order: Backfill, after: str) -> Sequence[str]:
        """The ids of the next signings behind `after`, oldest first, of whose version nothing went to that sink."""

    def hand_on(self, extras: Sequence[Extra]) -> frozenset[str]:
        """The ids of those deliveries that are new. Left out are those of signings that are not at rest any more."""

    def delivery(self, delivery_id: str) -> DeliveryRow: ...

    def sweep(self, worker: str, hold: float = 60.0) -> Mapping[str, int]:
        """Expired leases back or buried; old rows purged. Only the worker that holds the sweep lease acts: for `hold`
        seconds, after which another takes over from one that died. A job's lease is taken to be as long."""

    def attend(self, worker: str, lanes: Iterable[str], hold: float) -> None:
        """This worker runs and serves these lanes, so it is said for the next `hold` seconds."""

    def leave(self, worker: str) -> None:
        """It runs no more."""

    def lease(self, name: str, owner: str, hold: float) -> bool:
        """Is this piece of work `owner`'s alone for the next `hold` seconds? The names are rows of the schema."""

    def reconciliations(self) -> Mapping[str, Reconciliation]:
        """By source; one whose list was never looked at has none, and is due."""

    def look(self, source: str, worker: str, hold: float, *, due: bool = True) -> Look | None:
        """The right to read that list now; None while another worker has it, and where it is not due (`due=False`
        takes it all the same). At its first look a source's mark is the present."""

    def hold(self, look: Look) -> bool:
        """Is it still this worker's, now for another `look.hold` seconds?"""

    def reconciled(self, done: Reconciled) -> Noted:
        """Events for the rows that nobody spoke of, and the end of the look. A long list is stored in portions; the
        mark moves in the transaction of the last."""

    def unheard(self, source: str, rows: Iterable[Listed]) -> tuple[Listed, ...]:
        """Those for which `reconciled` would store an event; nothing is stored."""

    def needed(self, hashes: Collection[str], since: float) -> Mapping[str, bool]:
        """Of each hash that is known: does a signing need it, being on its way, waiting for a person, or touched
        since?"""

    def lanes(self) -> Mapping[str, int]:
        """Jobs by lane, also of lanes that nobody serves."""

    def wait(self, timeout: float) -> None:
        """Returns early when new work may have come."""

    def poke(self) -> None:
        """Ends a `wait` in this process."""

    def now(self) -> float:
        """The database's clock."""

    def ready(self) -> str:
        """ "" or the reason why nothing can be accepted."""

    def close(self) -> None: ...

"""Reconciliation: the provider's list is asked for signings that no callback told of, one worker a source at a time."""

import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from ..core.asking import Looked
from ..core.errors import ClaimLost, NotReady, Retryable, WebhookError
from ..core.outgoing import Answer, Listed, Request
from ..core.ports import ANSWER_LIMIT, Clock, Fetcher, Http
from ..core.store import Store
from ..core.work import Listing, Look, Noted, Reconciled
from .parties import Parties, Source
from .run import sentence

Stopped = Callable[[], bool]

SOONER: Final = 300.0
"""Seconds, at most, until a look that failed for now is repeated."""
TICK: Final = 5.0
"""Seconds between two reads of what is due."""


class CutShort(WebhookError):
    """It was stopped while the list was read; the next look makes up for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """In seconds: `hold` is how long others wait before they take over a look whose worker died, longer than one
    request may take; `longest` is what a Retry-After may ask for."""

    store: Store
    parties: Parties
    fetcher: Fetcher
    worker: str
    hold: float = 960.0
    longest: float = 86400.0
    monotonic: Clock = time.monotonic

    # --- as the schedule says -------------------------------------------------------------------------------------

    def run(self, stopping: threading.Event, tick: float = TICK) -> None:
        """Looks at what is due until `stopping` is set. Whatever fails is looked at again."""
        while True:
            try:
                self.due(stopping.is_set)
            except Exception as error:  # the store is away, or worse: without this loop no lost callback is found
                structlog.get_logger().warning("reconcile.not_looked", detail=sentence(error))
            if stopping.wait(tick):
                return

    def due(self, stopped: Stopped = lambda: False) -> list[Looked]:
        """One source after the other; what another worker looks at is passed over."""
        wanted = [source for source in self.parties.sources.values() if source.reconcile > 0]
        known = self.store.reconciliations() if wanted else {}
        due = [source for source in wanted if source.name not in known or known[source.name].due]
        return [
            self._look(source, look, look.mark - source.overlap, stopped)
            for source in due
            if not stopped() and (look := self.store.look(source.name, self.worker, self.hold))
        ]

    # --- as a person says -----------------------------------------------------------------------------------------

    def now(self, name: str, since: float | None = None) -> Looked:
        """A look whatever the schedule says, unless another has it."""
        source = self.parties.sources[name]
        look = self.store.look(name, self.worker, self.hold, due=False)
        if look is None:
            return self._busy(name, self.store.reconciliations()[name].held_by)
        return self._look(source, look, look.mark - source.overlap if since is None else since)

    def dry_run(self, name: str, since: float | None = None) -> Looked:
        """What a look would bring; nothing is stored."""
        source, row = self.parties.sources[name], self.store.reconciliations().get(name)
        if row is not None and row.held_by:
            return self._busy(name, row.held_by)
        mark = row.mark if row else self.store.now()
        start = mark - source.overlap if since is None else since
        try:
            listing = self.fetcher.listed(source.provider, source.http, start)
            new = self.store.unheard(name, _dated(listing.rows))
        except Exception as error:  # a provider may raise anything, and this is what the person asked for
            return Looked(source=name, since=start, error=sentence(error))
        noted = Noted(new=new, known=len(listing.rows) - len(new))
        return self._told(source, start, listing, noted)

    def _busy(self, name: str, holder: str) -> Looked:
        return Looked(source=name, error=f"its list is being read by {holder or 'another worker'}")

    # --- one look -------------------------------------------------------------------------------------------------

    def _look(self, source: Source, look: Look, start: float, stopped: Stopped = lambda: False) -> Looked:
        log = structlog.get_logger().bind(source=source.name)
        try:
            client = _Held(source.http, self._keeper(look, stopped))
            listing = self.fetcher.listed(source.provider, client, start)
            noted = self.store.reconciled(_ended(source, look, start, listing))
        except BaseException as error:  # whatever it is, the look ends, and the next one makes up for it
            looked = self._failed(source, look, start, error)
            if isinstance(error, KeyboardInterrupt):
                raise
            log.warning("reconcile.failed", error=type(error).__name__, detail=looked.error)
            return looked
        log.info("reconcile.done", listed=len(listing.rows), new=len(noted.new), ours=noted.ours)
        return self._told(source, start, listing, noted)

    def _failed(self, source: Source, look: Look, start: float, error: BaseException) -> Looked:
        """The mark stays. One that was stopped leaves the look to the next, due at once."""
        stopped = isinstance(error, CutShort | KeyboardInterrupt)
        said = str(CutShort()) if stopped else sentence(error)
        after = error.after if isinstance(error, NotReady | Retryable) else None
        usual = min(source.reconcile, SOONER) if isinstance(error, Retryable) else source.reconcile
        pause = 0.0 if stopped else max(usual, min(after or 0.0, self.longest))
        self.store.reconciled(Reconciled(look=look, note=said, next_in=pause))
        return Looked(source=source.name, since=start, error=said, next_at=self._next(source))

    def _told(self, source: Source, start: float, listing: Listing, noted: Noted) -> Looked:
        return Looked(
            source=source.name,
            since=start,
            listed=len(listing.rows),
            known=noted.known,
            new=tuple(row.ref for row in noted.new),
            warnings=listing.warnings,
            next_at=self._next(source),
        )

    def _next(self, source: Source) -> float | None:
        if not source.reconcile:
            return None
        row = self.store.reconciliations().get(source.name)
        return row.next_at if row else self.store.now()

    def _keeper(self, look: Look, stopped: Stopped) -> Callable[[], None]:
        """What is asked before each request: the worker goes on, and the list is still ours. A third of its time is
        let go by before the store is asked."""
        renewed = self.monotonic()

        def keep() -> None:
            nonlocal renewed
            if stopped():
                raise CutShort
            if self.monotonic() - renewed < self.hold / 3:
                return
            if not self.store.hold(look):
                raise ClaimLost("another worker took this look over")
            renewed = self.monotonic()

        return keep


@dataclass(frozen=True, slots=True)
class _Held:
    """A source's client that asks, before each request, whether to go on."""

    http: Http
    keep: Callable[[], None]

    def call(self, request: Request, *, limit: int = ANSWER_LIMIT) -> Answer:
        self.keep()
        return self.http.call(request, limit=limit)

    def save(
        self, request: Request, into: Callable[[bytes], object], *, limit: int, unless: Collection[str] = ()
    ) -> Answer:
        self.keep()
        return self.http.save(request, into, limit=limit, unless=unless)


def _ended(source: Source, look: Look, start: float, listing: Listing) -> Reconciled:
    """A look that did not reach back to the overlap behind the mark leaves mark and schedule alone: between the mark
    and its beginning nobody has looked."""
    whole = start <= look.mark - source.overlap
    return Reconciled(
        look=look,
        rows=_dated(listing.rows),
        whole=whole,
        newest=max((row.completed for row in listing.rows if row.completed is not None), default=None),
        note="; ".join(listing.warnings),
        next_in=source.reconcile if whole else None,
    )


def _dated(rows: Iterable[Listed]) -> tuple[Listed, ...]:
    """The time of the list is that of the signing, where its ref names none."""
    return tuple(
        replace(row, ref=replace(row.ref, completed=row.completed))
        if row.ref.completed is None and row.completed is not None
        else row
        for row in rows
    )

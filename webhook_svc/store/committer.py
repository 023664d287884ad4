"""One thread per process through which every write goes: what waits is committed together, with one fsync.

The waiters of a batch are released when its transaction is on disk, each with its own result. A lone write commits as
soon as it is waited for, and what was begun by then, or while a commit is under way, shares the next one.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from ..core.errors import StoreUnavailable, WebhookError
from .engine import Database, Tx

MAX_UNITS = 64
MAX_BYTES = 4 * 1024 * 1024

_COLLIDED = ("40001", "40P01")
_LOCKED = "55P03"

Batch = Callable[[Tx, Sequence[Any]], Sequence[Any]]
"""Executes items of one kind in a transaction; one result per item, an exception instance fails only that item."""


class Unit:
    """One write that waits: `batch` does it together with others of its kind. A `core.ports.Pending` for one waiter."""

    __slots__ = (
        *("_error", "_gate", "_result", "_timeout", "_until", "_wanted"),
        *("batch", "item", "settled", "size", "taken", "withdrawn"),
    )

    def __init__(self, batch: Batch, item: Any, size: int, timeout: float, wanted: Callable[[], None]) -> None:
        """`wanted` is called where somebody waits for what was not taken yet."""
        self.batch, self.item, self.size = batch, item, size
        self._wanted = wanted
        self._timeout, self._until = timeout, time.monotonic() + timeout
        self._gate = threading.Lock()  # the lightest thing that one thread can wait for and another one open
        self._gate.acquire()
        self._result: Any = None
        self._error: Exception | None = None
        self.taken = self.settled = self.withdrawn = False

    def wait(self) -> Any:
        """The result once it is committed. StoreUnavailable if that takes too long, counted from when it was begun:
        it is withdrawn if it was not taken yet, and otherwise may still be committed."""
        if not (self.taken or self.settled):
            self._wanted()
        if not self._gate.acquire(timeout=max(0.0, self._until - time.monotonic())):
            self.withdrawn = True
            raise StoreUnavailable(f"the store did not commit within {self._timeout:g} s")
        if self._error is not None:
            raise self._error
        return self._result

    def settle(self, result: Any) -> None:
        """Releases the waiter: with this result, or, where it is an exception, by raising it there."""
        if isinstance(result, Exception):
            self._error = result
        else:
            self._result = result
        self.settled = True
        self._gate.release()


class Committer:
    """Takes units, commits them in batches, releases the waiters. Starts at first use in each process."""

    def __init__(
        self,
        database: Database,
        on_commit: Callable[[bool], None],
        on_death: Callable[[], None],
        *,
        first: Sequence[Batch] = (),
        last: Sequence[Batch] = (),
    ) -> None:
        """`on_commit(made_work)` runs after each commit, `on_death` if the thread dies of something unforeseen. Of a
        transaction, the kinds in `first` are done before all others and those in `last` after them."""
        self._database = database
        self._on_commit = on_commit
        self._on_death = on_death
        self._ranks = {**dict.fromkeys(first, -1), **dict.fromkeys(last, 1)}
        self.reset()

    def reset(self) -> None:
        """As new: after a fork the thread and its waiters are the parent's."""
        self._waiting: deque[Unit] = deque()
        self._wanted = False
        self._taken: list[Unit] = []
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._cause: BaseException | None = None

    @property
    def alive(self) -> bool:
        return self._cause is None

    def begin(self, batch: Batch, item: Any, *, size: int = 0, timeout: float = 30.0) -> Unit:
        """Hands the unit over and never waits; whatever is wrong is raised by its `wait`."""
        unit = Unit(batch, item, size, timeout, self._want)
        with self._condition:
            if self._cause is not None or self._closed:
                unit.settle(StoreUnavailable("the committer has ended"))
                return unit
            self._start()
            self._waiting.append(unit)
        return unit

    def submit(self, batch: Batch, item: Any, *, size: int = 0, timeout: float = 30.0) -> Any:
        """The unit's result once it is committed; see `Unit.wait`."""
        return self.begin(batch, item, size=size, timeout=timeout).wait()

    def close(self) -> None:
        """Commits what waits and ends the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _want(self) -> None:
        with self._condition:
            self._wanted = True
            self._condition.notify()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while self._wait():
                self._turn()
        except BaseException as error:  # the one place: a committer that died must be seen, not restarted silently
            self._die(error)

    def _turn(self) -> None:
        """One batch. What waits is taken only once the lock is ours: whoever gave up meanwhile is not committed."""
        try:
            with self._database.lock():
                self._commit(self._take())
        except OSError as error:
            _fail(self._take(), error)

    def _wait(self) -> bool:
        with self._condition:
            while not (self._wanted and self._waiting) and not self._closed:
                self._condition.wait()
            return bool(self._waiting)

    def _take(self) -> list[Unit]:
        """Up to 64 units or 4 MB; a withdrawn one is passed over."""
        taken: list[Unit] = []
        size = 0
        with self._condition:
            while self._waiting and len(taken) < MAX_UNITS and (not taken or size + self._waiting[0].size <= MAX_BYTES):
                unit = self._waiting.popleft()
                if not unit.withdrawn:
                    unit.taken = True
                    taken.append(unit)
                    size += unit.size
            self._wanted = bool(self._waiting)
        self._taken = taken
        return taken

    def _commit(self, units: list[Unit]) -> None:
        if not units:
            return
        error = self._attempt(units)
        if error is not None and worth_repeating(error):
            error = self._attempt(units)
        if error is None:
            return
        if len(units) == 1 or _unavailable(error):
            _fail(units, error)
            return
        for unit in units:
            self._commit([unit])

    def _attempt(self, units: list[Unit]) -> Exception | None:
        """Commits them all and releases the waiters, or returns the error after rolling back."""
        try:
            with self._database.write() as tx:
                results = _execute(tx, units, self._ranks)
        except Exception as error:  # whatever it was, it is returned: `_commit` decides whom it hits
            return error
        for unit, result in zip(units, results, strict=True):
            unit.settle(result)
        self._on_commit(tx.made_work)
        return None

    def _die(self, cause: BaseException) -> None:
        structlog.get_logger().critical("committer.died", error=type(cause).__name__, exc_info=cause)
        with self._condition:
            self._cause = cause
            orphans = [*self._taken, *self._waiting]
            self._waiting.clear()
        for unit in orphans:
            if not unit.settled:
                unit.settle(StoreUnavailable("the committer has died"))
        self._on_death()


def _execute(tx: Tx, units: Sequence[Unit], ranks: Mapping[Batch, int]) -> list[Any]:
    """Runs the units grouped by kind: by rank, and of one rank in the order in which the kinds first appear."""
    groups: dict[Batch, list[int]] = {}
    for index, unit in enumerate(units):
        groups.setdefault(unit.batch, []).append(index)
    results: list[Any] = [None] * len(units)
    for batch in sorted(groups, key=lambda kind: ranks.get(kind, 0)):
        indexes = groups[batch]
        for index, result in zip(indexes, batch(tx, [units[index].item for index in indexes]), strict=True):
            results[index] = result
    return results


def worth_repeating(error: Exception) -> bool:
    """A deadlock, a serialisation failure, or a connection that had died while it was idle. Units may be repeated:
    an accept finds its own key, a settle its job gone, and an unseen claim runs out."""
    return isinstance(error, DBAPIError) and (error.connection_invalidated or _sqlstate(error) in _COLLIDED)


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _unavailable(error: Exception) -> bool:
    """The database itself is away, full or locked: trying the units one by one would only take longer. A row that
    somebody else keeps locked is the matter of the unit that needs it."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)
    if error.connection_invalidated:
        return True
    return isinstance(error, OperationalError | InterfaceError) and _sqlstate(error) not in (*_COLLIDED, _LOCKED)


def _fail(units: Sequence[Unit], error: Exception) -> None:
    for unit in units:
        unit.settle(_translated(error))


def _translated(error: Exception) -> Exception:
    if isinstance(error, WebhookError):
        return error
    if isinstance(error, DBAPIError):
        return StoreUnavailable(f"{type(error.orig).__name__}: {_first_line(error.orig)}")
    if isinstance(error, SQLAlchemyError | OSError):
        return StoreUnavailable(f"{type(error).__name__}: {_first_line(error)}")
    return error


def _first_line(error: BaseException | None) -> str:
    """The first line only: the driver's further lines show rows."""
    return str(error).split("\n", 1)[0][:200]

"""The committer over a database that is only a record of its transactions."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg.errors
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from webhook_svc.core.errors import ClaimLost, StoreUnavailable
from webhook_svc.store.committer import MAX_BYTES, MAX_UNITS, Batch, Committer
from webhook_svc.store.engine import Tx


class Recorder:
    """Stands for a database: `failures` are raised by the next commits, `gate` holds a writer back at the lock."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.failures: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.at_lock = threading.Event()

    @contextmanager
    def lock(self) -> Iterator[None]:
        self.at_lock.set()
        assert self.gate.wait(20)
        yield

    @contextmanager
    def write(self) -> Iterator[Any]:
        yield SimpleNamespace(made_work=True)
        if self.failures:
            raise self.failures.pop(0)

    def batch(self, _tx: Tx, items: Sequence[Any]) -> list[Any]:
        self.batches.append(list(items))
        return list(items)


@pytest.fixture
def database() -> Recorder:
    return Recorder()


@pytest.fixture
def committer(database: Recorder) -> Iterator[Committer]:
    made = Committer(database, lambda _made_work: None, lambda: None)  # type: ignore[arg-type]  # a stand-in
    yield made
    made.close()


def crowd(committer: Committer, database: Recorder, items: Sequence[Any], *, size: int = 0) -> list[Any]:
    """All are waiting before the first is taken; their results, errors included."""
    database.gate.clear()
    with ThreadPoolExecutor(len(items)) as threads:
        waiting = [threads.submit(committer.submit, database.batch, item, size=size) for item in items]
        while len(committer._waiting) < len(items):
            pass
        database.gate.set()
        return [one.exception(20) or one.result(20) for one in waiting]


def collision() -> DBAPIError:
    return OperationalError("COMMIT", None, psycopg.errors.DeadlockDetected("deadlock detected"))


def test_a_crowd_shares_commits_of_64_units_and_each_gets_its_own_result(
    committer: Committer, database: Recorder
) -> None:
    items = list(range(MAX_UNITS + 6))
    assert items == crowd(committer, database, items)
    assert [MAX_UNITS, 6] == [len(batch) for batch in database.batches]


def test_a_batch_is_no_larger_than_4_mb_but_takes_one_unit_of_any_size(
    committer: Committer, database: Recorder
) -> None:
    crowd(committer, database, range(5), size=MAX_BYTES // 2)
    crowd(committer, database, range(2), size=MAX_BYTES * 2)
    assert [2, 2, 1, 1, 1] == [len(batch) for batch in database.batches]


def test_a_lone_write_waits_for_no_company(committer: Committer, database: Recorder) -> None:
    assert 7 == committer.submit(database.batch, 7)
    assert [[7]] == database.batches


def test_what_was_begun_before_anybody_waits_is_committed_together(committer: Committer, database: Recorder) -> None:
    begun = [committer.begin(database.batch, item) for item in range(5)]
    assert [] == database.batches
    assert list(range(5)) == [one.wait() for one in begun]
    assert [list(range(5))] == database.batches


def test_what_locks_much_is_done_before_the_rest_of_its_transaction_and_what_never_waits_after_it(
    database: Recorder,
) -> None:
    done: list[str] = []

    def kind(name: str) -> Batch:
        def batch(_tx: Tx, items: Sequence[Any]) -> list[Any]:
            done.append(name)
            return list(items)

        return batch

    claims, renewals, accepts, settlements = (kind(name) for name in ("claim", "renew", "accept", "settle"))
    made = Committer(database, lambda _: None, lambda: None, first=[settlements], last=[claims])  # type: ignore[arg-type]  # a stand-in
    begun = [made.begin(batch, item) for item, batch in enumerate((claims, renewals, accepts, settlements))]
    assert [0, 1, 2, 3] == [one.wait() for one in begun]
    made.close()
    assert ["settle", "renew", "accept", "claim"] == done


def test_patience_counts_from_the_beginning_and_not_from_the_wait(committer: Committer, database: Recorder) -> None:
    database.gate.clear()
    late = [committer.begin(database.batch, item, timeout=0.2) for item in range(10)]
    begun = time.monotonic()
    for one in late:
        with pytest.raises(StoreUnavailable, match=r"0\.2 s"):
            one.wait()
    assert time.monotonic() - begun < 1.0
    database.gate.set()


def test_who_gives_up_before_the_lock_is_ours_is_withdrawn(committer: Committer, database: Recorder) -> None:
    database.gate.clear()
    with pytest.raises(StoreUnavailable):
        committer.submit(database.batch, "withdrawn", timeout=0.05)
    database.gate.set()
    assert "next" == committer.submit(database.batch, "next")
    assert ["next"] == [item for batch in database.batches for item in batch]


def test_a_collision_is_repeated_once_with_the_whole_batch(committer: Committer, database: Recorder) -> None:
    database.failures = [collision()]
    assert [1, 2, 3] == crowd(committer, database, [1, 2, 3])
    assert [3, 3] == [len(batch) for batch in database.batches]


def test_a_batch_that_collides_twice_is_run_one_by_one(committer: Committer, database: Recorder) -> None:
    database.failures = [collision(), collision()]
    assert [1, 2, 3] == crowd(committer, database, [1, 2, 3])
    assert [3, 3, 1, 1, 1] == [len(batch) for batch in database.batches]


def test_a_row_that_is_locked_fails_only_the_unit_that_needs_it(committer: Committer, database: Recorder) -> None:
    locked = OperationalError("UPDATE", None, psycopg.errors.LockNotAvailable("lock timeout"))
    database.failures = [locked, locked]
    results = crowd(committer, database, [1, 2, 3])
    assert ("LockNotAvailable: lock timeout", 2, 3) == (str(results[0]), *results[1:])
    assert [3, 1, 1, 1] == [len(batch) for batch in database.batches]


def test_a_database_that_is_full_fails_the_batch_without_trying_each(committer: Committer, database: Recorder) -> None:
    database.failures = [OperationalError("COMMIT", None, psycopg.errors.DiskFull("no space\nDETAIL: a row"))]
    results = crowd(committer, database, [1, 2, 3])
    assert {"DiskFull: no space"} == {str(one) for one in results}
    assert all(isinstance(one, StoreUnavailable) for one in results)
    assert [3] == [len(batch) for batch in database.batches]


def test_a_disk_that_fails_at_the_lock_fails_who_waits(committer: Committer, database: Recorder) -> None:
    def broken() -> Any:
        raise OSError("no locks")

    database.lock = broken  # type: ignore[method-assign]  # the next writer finds it so
    with pytest.raises(StoreUnavailable, match="no locks"):
        committer.submit(database.batch, 1)


def test_an_error_as_a_result_is_raised_to_its_own_waiter_and_the_rest_is_committed(
    committer: Committer, database: Recorder
) -> None:
    lost = ClaimLost()
    assert [1, lost, 3] == crowd(committer, database, [1, lost, 3])
    assert 1 == len(database.batches)


def test_closing_commits_what_waits(committer: Committer, database: Recorder) -> None:
    database.gate.clear()
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(committer.submit, database.batch, 1)
        assert database.at_lock.wait(20)
        closing = threads.submit(committer.close)
        database.gate.set()
        assert 1 == waiting.result(20)
        closing.result(20)
    with pytest.raises(StoreUnavailable):
        committer.submit(database.batch, 2)

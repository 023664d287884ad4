"""Whose clock it is that leases and waits are measured by, and what becomes of them when it is set."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Clock
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import job


@pytest.fixture
def monotonic() -> Clock:
    return Clock()


@pytest.fixture
def sweeper(store_url: str, clock: Clock, monotonic: Clock) -> Iterator[SqlStore]:
    """Another process's store, whose clock that is never set is `monotonic`. It has looked once."""
    store = SqlStore(store_url, clock=clock, monotonic=monotonic)
    store.sweep("w2")
    yield store
    store.close()


@pytest.mark.parametrize("off", [3600.0, -3600.0])
def test_the_time_is_the_databases_whatever_a_process_takes_for_it(
    store_url: str, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    machines = time.clock_gettime(time.CLOCK_REALTIME)
    monkeypatch.setattr(time, "time", lambda: machines + off)
    store = SqlStore(store_url)
    now = store.now()
    store.close()

    assert machines <= now < machines + 60


def test_a_lease_that_looks_over_because_the_clock_was_set_is_left_to_its_owner(
    life: Any, sweeper: SqlStore, monotonic: Clock
) -> None:
    life.fresh()
    (claimed,) = life.claim().jobs
    life.clock.advance(3600)
    assert {} == sweeper.sweep("w2")
    assert frozenset() == life.store.renew([claimed], 60)
    for seconds in (29, 2):
        life.clock.advance(seconds)
        monotonic.advance(seconds)
        assert {} == sweeper.sweep("w2")

    assert ("running", 0) == (life.row(job)["state"], life.row(job)["expiries"])


def test_the_work_of_the_dead_is_found_a_moment_after_the_clock_was_set(
    life: Any, sweeper: SqlStore, monotonic: Clock
) -> None:
    life.fresh()
    life.claim()
    life.clock.advance(3600)
    assert {} == sweeper.sweep("w2")
    life.clock.advance(30)
    monotonic.advance(30)

    assert {"returned": 1} == sweeper.sweep("w2")


def test_a_clock_that_was_set_back_or_a_little_forward_stops_nobody(
    life: Any, sweeper: SqlStore, monotonic: Clock
) -> None:
    life.fresh()
    life.claim()
    life.clock.advance(-30)
    assert {} == sweeper.sweep("w2")
    life.clock.advance(45 + 50)
    monotonic.advance(76)

    assert {"returned": 1} == sweeper.sweep("w2")

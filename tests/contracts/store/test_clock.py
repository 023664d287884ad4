"""Whose clock it is that leases and waits are measured by."""

import time

import pytest

from webhook_svc.store.sql import SqlStore


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

"""The worker looks through its vault beside its work: a failure there stops nothing, and a drain waits for its end."""

import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from webhook_svc.core.errors import Retryable
from webhook_svc.core.work import Claims
from webhook_svc.worker import Pace, Worker


class Sweep:
    """Fails as often as it is told, then looks until it is stopped."""

    every = 0.01

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.looking = threading.Event()
        self.ended = False

    def sweep(self) -> Mapping[str, int]:
        return {}

    def clean(self, stopped: Callable[[], bool]) -> Mapping[str, int]:
        if self.failures:
            raise self.failures.pop()
        self.looking.set()
        while not stopped():
            threading.Event().wait(0.01)
        self.ended = True
        return {"documents": 1}


def run(sweep: Any) -> None:
    """A worker without work, until the look through the vault has begun."""
    known = {"attend": lambda *_: None, "leave": lambda _: None, "lanes": dict}
    store: Any = SimpleNamespace(claim=lambda _: Claims(), wait=threading.Event().wait, poke=lambda: None, **known)
    runner: Any = SimpleNamespace(worker="w1")
    worker = Worker(store, runner, sweep, {}, Pace(concurrency=1, poll=0.01, drain=1.0))
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert sweep.looking.wait(10)
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_drain_ends_a_look_through_the_vault_before_it_returns() -> None:
    sweep = Sweep()
    run(sweep)
    assert sweep.ended


def test_a_look_that_fails_is_said_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    run(Sweep(Retryable("vault: listing: status 503"), RuntimeError("hunter2")))
    said = capsys.readouterr().out
    assert ["vault: listing: status 503" in said, "RuntimeError" in said, "hunter2" in said] == [True, True, False]

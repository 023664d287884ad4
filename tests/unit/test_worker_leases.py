"""A worker renews the leases of what it runs, and says so where one is lost: not where it is only being settled."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from webhook_svc.core.errors import StoreUnavailable
from webhook_svc.core.types import Job, Stage
from webhook_svc.core.work import Claims
from webhook_svc.worker import Pace, Worker

JOB = Job(id="job_1", lane="sink:a", stage=Stage.DELIVER, ref="dlv_1", claim=1, tries=0)


class Store:
    """Gives one job, and says so many times that it is lost when its lease is to be renewed."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.over = threading.Event()
        self.waiting = [JOB]

    def claim(self, _wish: object) -> Claims:
        return Claims(jobs=(self.waiting.pop(),) if self.waiting else ())

    def renew(self, jobs: Iterable[Job], _lease: float) -> frozenset[str]:
        self.left -= 1
        if self.left <= 0:
            self.over.set()
        return frozenset(job.id for job in jobs if self.left >= 0)

    def wait(self, _timeout: float) -> None:
        self.over.wait(0.01)

    def lanes(self) -> dict[str, int]:
        return {}

    def attend(self, *_: object) -> None: ...

    def leave(self, _worker: str) -> None: ...

    def poke(self) -> None: ...


def run(store: Any) -> None:
    """Runs one job until the store has said it often enough."""

    def job(_job: Job, _keep: object) -> tuple[Job, ...]:
        assert store.over.wait(10)
        return ()

    sweep: Any = SimpleNamespace(sweep=dict[str, int], clean=_nothing, every=60.0)
    runner: Any = SimpleNamespace(worker="w1", run=job)
    worker = Worker(store, runner, sweep, {"sink:a": 1}, Pace(concurrency=1, lease=0.03, poll=0.01, drain=5.0))
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert store.over.wait(10)
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def _nothing(_stopped: object) -> Mapping[str, int]:
    return {}


def test_a_job_that_is_settled_while_its_lease_is_renewed_is_not_called_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(Store(times=1))
    assert "lease.lost" not in capsys.readouterr().out


def test_a_job_that_stays_lost_is_called_lost(capsys: pytest.CaptureFixture[str]) -> None:
    run(Store(times=3))
    assert "lease.lost" in capsys.readouterr().out


def renewing(worker: Worker, rounds: int) -> None:
    """As many rounds of renewals, without the time between them."""
    left = iter([False] * rounds)
    ended: Any = SimpleNamespace(wait=lambda _pause: next(left, True))
    worker._ended = ended
    worker._renew()


def test_a_job_that_was_settled_and_is_claimed_again_is_not_called_lost(capsys: pytest.CaptureFixture[str]) -> None:
    nothing: Any = SimpleNamespace(worker="w1")
    store: Any = SimpleNamespace()
    worker = Worker(store, nothing, nothing, {"sink:a": 1}, Pace(), monotonic=lambda: 0.0)
    worker._running.add(JOB, 0.0)

    def renew(jobs: Iterable[Job], _lease: float) -> frozenset[str]:
        (one,) = jobs
        worker._running.add(replace(one, claim=one.claim + 1), 0.0)
        return frozenset([one.id])

    store.renew = renew
    renewing(worker, 3)
    assert "lease.lost" not in capsys.readouterr().out


def test_a_new_worker_lets_the_living_renew_their_leases_before_it_sweeps() -> None:
    now, swept = [100.0], []
    nothing: Any = SimpleNamespace(worker="w1")
    sweep: Any = SimpleNamespace(sweep=lambda: swept.append(now[0]))
    store: Any = SimpleNamespace(attend=lambda *_: None)
    worker = Worker(store, nothing, sweep, {"sink:a": 1}, Pace(lease=60.0, poll=1.0), monotonic=lambda: now[0])
    for now[0] in (100.0, 129.0, 130.0, 130.5, 131.0):
        worker._sweep()
    assert [130.0, 131.0] == swept


def test_a_renewal_that_failed_is_tried_again_at_the_next_poll() -> None:
    answers = iter([StoreUnavailable("away"), StoreUnavailable("away"), None])
    pauses: list[float] = []

    def renew(*_: object) -> frozenset[str]:
        error = next(answers)
        if error is not None:
            raise error
        return frozenset()

    def wait(pause: float) -> bool:
        pauses.append(pause)
        return len(pauses) == 4

    store: Any = SimpleNamespace(renew=renew)
    nothing: Any = SimpleNamespace(worker="w1")
    worker = Worker(store, nothing, nothing, {"sink:a": 1}, Pace(lease=60.0, poll=1.0), monotonic=lambda: 0.0)
    ended: Any = SimpleNamespace(wait=wait)
    worker._ended = ended
    worker._running.add(JOB, 0.0)
    worker._renew()
    assert [20.0, 1.0, 1.0, 20.0] == pauses

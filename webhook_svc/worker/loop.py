"""The loop: claim what there are slots for, run it on threads, renew leases, sweep, and drain when told to stop."""

import os
import platform
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from ..core.errors import StoreUnavailable, WebhookError
from ..core.ids import new_id
from ..core.store import Store
from ..core.types import Job, Stage
from ..core.work import Wish
from ..pipeline.run import Runner
from ..pipeline.sweep import Sweep
from .slots import Running

BESIDE_STOPS = 5.0
"""Seconds that what runs beside the loop is given to end; cut short, it leaves nothing wrong behind."""

GATHER = 0.01
"""Seconds that a busy worker lets pass before it claims, so that the slots that free up are filled together."""

Beside = Callable[[threading.Event], None]
"""Work of its own rhythm on a thread of its own, until the event is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """All in seconds but `concurrency`, the jobs one process runs at once."""

    concurrency: int = 32
    lease: float = 60.0
    drain: float = 20.0
    poll: float = 1.0
    job_deadline: float = 3600.0


class Stuck(RuntimeError):
    """A job neither ended nor can be ended: only a new process helps, and the crash budget counts it."""


def worker_name() -> str:
    """Unique among all workers ever, readable in a listing."""
    return f"{platform.node()[:40]}:{os.getpid()}:{new_id('w', time.time())[-6:]}"


def give_way() -> None:
    """From here on this thread, and those it starts, wait for a core instead of driving off whoever has it: with one
    interpreter lock, they would only wait for that one. A third fewer switches, a tenth less CPU. Where the system or
    an administrator has chosen something else for this process, that stands."""
    with suppress(OSError):  # a sandbox may forbid either: then everything works as well, only dearer
        if hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class Worker:
    """One process's share of the work. `run` returns after a drain; `stop` may be called from a signal handler."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        sweep: Sweep,
        lanes: Mapping[str, int],
        pace: Pace,
        *,
        beside: Sequence[Beside] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._runner = runner
        self._sweeping = sweep
        self._lanes = lanes
        self._pace = pace
        self._beside = (self._clean, *beside)
        self._monotonic = monotonic
        self._running = Running()
        self._todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._log = structlog.get_logger().bind(worker=runner.worker)
        self._swept = self._attended = -float("inf")
        self._began = monotonic()
        self._wait_for_renewals()
        self._stuck: list[str] = []

    def stop(self) -> None:
        """Nothing more is claimed; `run` returns when what runs is done, or given back after the drain time."""
        self._stopping.set()
        self._store.poke()

    def run(self) -> None:
        """Raises Stuck, after the drain, where a job has outlived its deadline and its lease."""
        for number in range(self._pace.concurrency):
            threading.Thread(target=self._work, name=f"job-{number}", daemon=True).start()
        threading.Thread(target=self._renew, name="renew", daemon=True).start()
        beside = [threading.Thread(target=act, args=(self._stopping,), daemon=True) for act in self._beside]
        for thread in beside:
            thread.start()
        self._log.info("worker.started", lanes=sorted(self._lanes))
        self._name_unserved()
        while not self._stopping.is_set():
            try:
                self._sweep()
                claimed = self._claim()
            except StoreUnavailable as error:
                self._log.warning("store.unavailable", detail=str(error))
                self._wait_for_renewals()
                self._stopping.wait(self._pace.poll)
                continue
            if not claimed:
                self._store.wait(self._pace.poll)
                self._gather()
        self._drain()
        until = self._monotonic() + BESIDE_STOPS
        for thread in beside:
            thread.join(max(until - self._monotonic(), 0.0))
        if self._stuck:
            raise Stuck(f"jobs that never ended: {', '.join(self._stuck)}")

    # --- claiming -------------------------------------------------------------------------------------------------

    def _claim(self) -> bool:
        """Was anything claimed? Beside a job that may kill its worker, nothing is."""
        running = [job for job, _ in self._running.all()]
        lanes, total = self._running.share(self._lanes, self._pace.concurrency)
        if total <= 0 or any(job.alone for job in running):
            return False
        wish = Wish(
            worker=self._runner.worker,
            lanes=lanes,
            total=total,
            lease=self._pace.lease,
            idle=not running,
            suspects=self._turn_of_suspects(),
        )
        claims = self._store.claim(wish)
        for lane in claims.probing:
            self._log.info("lane.probing", lane=lane)
        for job in claims.jobs:
            self._start(job)
        return bool(claims.jobs)

    def _turn_of_suspects(self) -> bool:
        """They run alone, so that nothing else moves meanwhile: a lease is theirs, and one everybody else's. A new
        process begins with everybody else, for it may follow one that a suspect killed."""
        return bool((self._monotonic() - self._began) // self._pace.lease % 2)

    def _gather(self) -> None:
        """Where most slots are taken, others may be about to fall free."""
        free = self._pace.concurrency - len(self._running.all())
        if 0 < free < self._pace.concurrency / 4:
            self._stopping.wait(GATHER)

    def _start(self, job: Job) -> None:
        self._running.add(job, self._monotonic())
        self._todo.put(job)

    # --- running --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """What a job leads to goes on in the same thread: no other has to be woken for it."""
        while True:
            job: Job | None = self._todo.get()
            while job is not None:
                job = self._run_one(job)

    def _run_one(self, job: Job) -> Job | None:
        """The next job of this thread, if there is one. A job that could not even be settled is let go: its lease runs
        out, and it is tried again."""
        structlog.contextvars.clear_contextvars()
        kept: tuple[Job, ...] = ()
        promised: dict[str, int] = {}

        def keep() -> Mapping[str, int]:
            if job.alone or self._stopping.is_set():
                return {}  # a suspect takes nothing with it
            if job.stage is Stage.PARSE:
                return {job.lane: 1}  # its own slot
            promised.update(self._promise())
            return promised

        try:
            kept = self._runner.run(job, keep)
        except StoreUnavailable as error:
            self._log.warning("settle.failed", ref=job.ref, job_stage=job.stage.value, detail=str(error))
        except BaseException as error:  # a thread that ends here would hold its slot and its lease for ever
            self._log.error("settle.failed", ref=job.ref, job_stage=job.stage.value, exc_info=error)
        self._running.follow(job, kept, self._monotonic(), promised)
        for one in kept[1:]:
            self._todo.put(one)
        if not kept or kept[0].lane != job.lane:
            self._store.poke()  # a slot of its lane is free
        return kept[0] if kept else None

    def _promise(self) -> dict[str, int]:
        """The slots that the deliveries of a fetch may take along."""
        if len(self._running.all()) > self._pace.concurrency:
            return {}
        return self._running.promise({lane: slots for lane, slots in self._lanes.items() if lane.startswith("sink:")})

    def _renew(self) -> None:
        """Leases of running jobs, at a third of their length; not beyond a job's own deadline."""
        looked_lost: set[tuple[str, int]] = set()
        usual = pause = self._pace.lease / 3
        while not self._ended.wait(pause):
            pause, now = usual, self._monotonic()
            running = self._running.all()
            mine = [job for job, since in running if since > now - self._pace.job_deadline]
            self._give_up(job for job, since in running if since <= now - self._pace.job_deadline - self._pace.lease)
            try:
                refused = self._store.renew(mine, self._pace.lease) if mine else frozenset()
            except Exception as error:  # whatever it is, without this thread every lease would run out
                self._log.warning("lease.not_renewed", error=type(error).__name__, detail=_said(error))
                pause = min(self._pace.poll, usual)
                continue
            lost = {(job.id, job.claim) for job in mine if job.id in refused}
            for job_id, _ in lost & looked_lost:  # once is no news: one that was settled a moment ago looks lost too
                self._log.warning("lease.lost", job_id=job_id)
            looked_lost = lost

    def _give_up(self, jobs: Iterable[Job]) -> None:
        """Its thread cannot be ended, and its slot is gone: the process makes way for another."""
        self._stuck = [job.ref for job in jobs]
        if self._stuck:
            self._log.critical("worker.stuck", refs=self._stuck, deadline=self._pace.job_deadline)
            self.stop()

    # --- sweeping and stopping ------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Often: work whose worker died has waited for a whole lease already."""
        now = self._monotonic()
        if now - self._attended >= self._pace.lease / 4:
            self._attended = now
            self._store.attend(self._runner.worker, self._lanes, self._pace.lease)
        if now - self._swept >= self._pace.poll:
            self._swept = now
            done = self._sweeping.sweep()
            if done:
                self._log.info("sweep.done", **done)

    def _wait_for_renewals(self) -> None:
        """The store may have been away until now: leases that ran out meanwhile are renewed before anybody takes them
        for those of the dead. One whose worker was killed a moment ago has more than half of it left anyway."""
        self._swept = self._monotonic() + self._pace.lease / 2 - self._pace.poll

    def _clean(self, stopping: threading.Event) -> None:
        """Beside the loop: a look through a large vault takes long."""
        while True:
            try:
                done = self._sweeping.clean(stopping.is_set)
                if done:
                    self._log.info("vault.cleaned", **done)
            except Exception as error:  # whatever it is, the next look makes up for it
                self._log.warning("vault.not_cleaned", error=type(error).__name__, detail=_said(error))
            if stopping.wait(self._sweeping.every):
                return

    def _name_unserved(self) -> None:
        """Work of sources and sinks that are no longer configured waits for ever: that must be said."""
        try:
            unserved = {lane: jobs for lane, jobs in self._store.lanes().items() if lane not in self._lanes}
        except StoreUnavailable:
            return  # the loop will say so
        if unserved:
            self._log.warning("lanes.unserved", jobs=unserved, detail="no such source or sink is configured")

    def _drain(self) -> None:
        until = self._monotonic() + self._pace.drain
        while (left := until - self._monotonic()) > 0 and self._running.all():
            self._store.wait(min(left, 0.2))
        self._ended.set()
        unfinished = [job for job, _ in self._running.all() if job.ref not in self._stuck]
        try:
            if unfinished:
                self._store.give_back(unfinished)
            self._store.leave(self._runner.worker)
        except StoreUnavailable as error:
            self._log.warning("drain.not_given_back", detail=str(error), jobs=len(unfinished))
        self._log.info("worker.stopped", unfinished=len(unfinished))


def _said(error: Exception) -> str:
    """Our own sentences hold no secret; what foreign ones hold nobody knows."""
    return str(error) if isinstance(error, WebhookError) else ""

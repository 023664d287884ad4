"""What a process runs, and what room that leaves in it and in each lane."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..core.types import Job


@dataclass(slots=True)
class Running:
    """The jobs that this process holds a lease on, by id, since when; and slots promised for what comes next."""

    jobs: dict[str, tuple[Job, float]] = field(default_factory=dict)
    promised: Counter[str] = field(default_factory=Counter)
    claimed: dict[str, int] = field(default_factory=dict)
    turns: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, job: Job, since: float) -> None:
        with self.lock:
            self._add(job, since)

    def follow(self, job: Job, kept: Iterable[Job], since: float, promised: Mapping[str, int]) -> None:
        """The job has ended, and these take its place and what was promised to them, with no moment between in which
        anybody else could. A job that this process has claimed once more meanwhile stays."""
        with self.lock:
            held, _ = self.jobs.get(job.id, (job, since))
            if held.claim == job.claim:
                self.jobs.pop(job.id, None)
            for one in kept:
                self._add(one, since)
            self.promised.subtract(promised)

    def all(self) -> list[tuple[Job, float]]:
        with self.lock:
            return list(self.jobs.values())

    def free(self, lanes: Mapping[str, int]) -> dict[str, int]:
        """Slots by lane; the lane that runs least comes first, of several the one that was served longest ago, so that
        none is served last for ever."""
        with self.lock:
            return self._free(lanes)

    def share(self, lanes: Mapping[str, int], concurrency: int) -> tuple[dict[str, int], int]:
        """Slots by lane as in `free`, and how many may be taken of all. The last quarter of the process is kept for
        lanes that run nothing: those that hang take the others' time, but never all of it."""
        with self.lock:
            room = concurrency - len(self.jobs)
            busy = {job.lane for job, _ in self.jobs.values()}
            free = self._free(lanes)
        idle = {lane: min(slots, 1) for lane, slots in free.items() if lane not in busy}
        kept = min(len(idle), concurrency // 4)
        return (free, room - kept) if room > kept else (idle, room)

    def promise(self, lanes: Mapping[str, int]) -> dict[str, int]:
        """One slot of each of these lanes that has one, out of everybody else's reach until `redeem`."""
        with self.lock:
            promised = {lane: 1 for lane, slots in self._free(lanes).items() if slots}
            self.promised.update(promised)
            return promised

    def redeem(self, promised: Mapping[str, int]) -> None:
        with self.lock:
            self.promised.subtract(promised)

    def _add(self, job: Job, since: float) -> None:
        self.jobs[job.id] = (job, since)
        self.claimed[job.lane] = next(self.turns)

    def _free(self, lanes: Mapping[str, int]) -> dict[str, int]:
        taken = Counter(job.lane for job, _ in self.jobs.values())
        by_load = sorted(lanes.items(), key=lambda lane: (taken[lane[0]], self.claimed.get(lane[0], -1)))
        return {lane: max(slots - taken[lane] - self.promised[lane], 0) for lane, slots in by_load}

"""Slope: how much memory a worker keeps for the events that go through it. One in fifty leads to a document.

`python -m tests.bench.slope [--rate EVENTS-A-SECOND]`
"""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from webhook_svc.store.sql import SqlStore

from .databases import Kind, kinds
from .machine import Meter, metered, resident
from .provider import provider
from .report import Row, Scale, run
from .service import CHEAP, CONCURRENCY, READY, Site, accepted_by, worker

SIZE = 2048
EVERY = 50
AHEAD = 2000
"""Events that may wait for the worker: as many are accepted as it takes."""
SAMPLES = 20
_MB = 1024 * 1024


@dataclass(slots=True)
class Course:
    """Events settled, and the worker's bytes then."""

    events: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def slope(self) -> float:
        """Bytes for each event, by least squares, without the first fifth: pools and caches fill in it."""
        events, memory = (values[len(values) // 5 :] for values in (self.events, self.memory))
        middle, level = sum(events) / len(events), sum(memory) / len(memory)
        spread = sum((one - middle) ** 2 for one in events)
        return sum((one - middle) * (held - level) for one, held in zip(events, memory, strict=True)) / spread


def measure(scale: Scale) -> list[Row]:
    with kinds() as databases:
        return [_row(kind, *_stream(kind, scale.stream, scale.rate)) for kind in databases]


def _stream(kind: Kind, events: int, rate: float) -> tuple[Course, Meter]:
    course = Course()
    with tempfile.TemporaryDirectory(prefix="bench-slope-") as home, provider(SIZE) as sender:
        site = Site(home=Path(home), store=kind.fresh(), provider=sender.url)
        with closing(SqlStore(site.store)) as store, worker(site) as child, metered(child.pid, *kind.pids) as meter:
            for settled in _settled(store, events, rate):
                course.events.append(settled)
                course.memory.append(resident(child.pid))
    return course, meter


def _settled(store: SqlStore, events: int, rate: float) -> Iterator[int]:
    """Accepts as much as the worker takes; now and then how many it has settled."""
    step, portion, begun = max(events // SAMPLES, 1), 500, time.monotonic()
    with ThreadPoolExecutor(CONCURRENCY) as threads:
        for first in range(0, events, portion):
            numbers = range(first, min(first + portion, events))
            list(threads.map(partial(_accept, store), numbers))
            _await(store, AHEAD)
            if rate:
                time.sleep(max(begun + numbers.stop / rate - time.monotonic(), 0.0))
            if numbers.stop // step > first // step:
                yield numbers.stop - _waiting(store)
        _await(store, 0)
        yield events


def _accept(store: SqlStore, number: int) -> None:
    accepted_by(store, number, CHEAP if number % EVERY else READY, padding=1024)


def _await(store: SqlStore, left: int) -> None:
    while _waiting(store) > left:
        time.sleep(0.02)


def _waiting(store: SqlStore) -> int:
    return sum(store.lanes().values())


def _row(kind: Kind, course: Course, meter: Meter) -> Row:
    events = course.events[-1]
    held = " ".join(f"{memory / _MB:.0f}" for memory in course.memory)
    return Row(
        case=f"{events:_} events through one worker, MB kept for 100 000: {kind.name}".replace("_", " "),
        rate=course.slope() * 100_000 / _MB,
        unit="MB",
        cpu_ms=sum(meter.cpu) * 1000 / events,
        target="≤ 1 MB",
        note=f"{events / meter.seconds:.0f} events/s; MB held on the way: {held}; {meter.quiet}",
    )


if __name__ == "__main__":
    run({"slope": measure})

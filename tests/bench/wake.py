"""Waking: from an event on disk, in one process, to an idle worker, in another, that has taken its job.

`python -m tests.bench.wake`
"""

import random
import tempfile
import time
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import attempt

from .databases import Kind, kinds
from .machine import Meter, metered
from .report import Row, Scale, percentile, run
from .service import CHEAP, Said, Site, accepted_by, worker

_TARGETS = {"SQLite": "p50 < 20 ms", "Postgres": "p50 < 10 ms"}


def measure(scale: Scale) -> list[Row]:
    with kinds() as databases:
        return [_row(kind, *_samples(kind, scale.samples)) for kind in databases]


def _samples(kind: Kind, count: int) -> tuple[list[float], Meter]:
    """Milliseconds; both processes read the same clock. Events are one after the other, not in step with anything."""
    with tempfile.TemporaryDirectory(prefix="bench-wake-") as home:
        site = Site(home=Path(home), store=kind.fresh())
        with closing(SqlStore(site.store)) as store, worker(site) as child, metered(child.pid, *kind.pids) as meter:
            stored: dict[str, float] = {}
            said = Said(site.log("worker"))
            for number in range(count):
                time.sleep(0.03 + random.random() * 0.1)
                accepted = accepted_by(store, number, CHEAP)
                stored[accepted.event_id] = time.time()
                said.wait("parse.ignored", number + 1)
            taken = _taken(store)
    return [(taken[event_id] - at) * 1000 for event_id, at in stored.items()], meter


def _taken(store: SqlStore) -> dict[str, float]:
    """When the worker began with each event."""
    with store.database.reader.connect() as connection:
        return {row.ref: row.started for row in connection.execute(sa.select(attempt.c.ref, attempt.c.started))}


def _row(kind: Kind, latencies: list[float], meter: Meter) -> Row:
    return Row(
        case=f"event stored to job taken by an idle worker: {kind.name}",
        cpu_ms=sum(meter.cpu) * 1000 / len(latencies),
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        target=_TARGETS[kind.name],
        note=f"two processes; {meter.quiet}",
    )


if __name__ == "__main__":
    run({"wake": measure})

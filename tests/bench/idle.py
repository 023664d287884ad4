"""Idle: how soon a worker takes its first job, and what a worker and a web process cost while nothing happens.

`python -m tests.bench.idle`
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from webhook_svc.store.sql import SqlStore

from .databases import Kind, kinds
from .machine import Meter, family, metered, resident
from .report import Row, Scale, run
from .service import CHEAP, Said, Site, accepted_by, process, web

_SETTLED = 1.0
"""Seconds after its start before a process counts as idle."""
_MB = 1024 * 1024


@dataclass(slots=True)
class Calm:
    """Shares of one core and MB of each process, of the worker and of the web process; the database's share beside."""

    shares: dict[str, float] = field(default_factory=dict)
    memory: dict[str, list[float]] = field(default_factory=dict)
    database: float = 0.0
    meter: Meter = field(default_factory=Meter)


def measure(scale: Scale) -> list[Row]:
    rows: list[Row] = []
    with kinds() as databases:
        for kind in databases:
            starts = [_start(kind) for _ in range(scale.rounds)]
            rows.append(_start_row(kind, starts))
            rows += _calm_rows(kind, _calm(kind, scale.calm))
    return rows


@contextmanager
def _site(kind: Kind) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as home:
        yield Site(home=Path(home), store=kind.fresh())


def _start(kind: Kind) -> float:
    """Seconds from the command to the first job taken and done, which waits when the worker starts."""
    with _site(kind) as site:
        with closing(SqlStore(site.store)) as store:
            accepted_by(store, 1, CHEAP)
        started = time.perf_counter()
        with process(site, "worker", "webhook_svc", "worker"):
            Said(site.log("worker")).wait("parse.ignored", 1)
            return time.perf_counter() - started


def _calm(kind: Kind, seconds: float) -> Calm:
    """Worker and web process beside each other, each after a first piece of work."""
    calm = Calm()
    with _site(kind) as site, ExitStack() as stack, closing(SqlStore(site.store)) as store:
        pids = {
            "worker": stack.enter_context(process(site, "worker", "webhook_svc", "worker")).pid,
            "web": stack.enter_context(web(site)).pid,
        }
        accepted_by(store, 1, CHEAP)
        Said(site.log("worker")).wait("parse.ignored", 1)
        time.sleep(_SETTLED)
        with metered(*pids.values(), *kind.pids) as meter:
            time.sleep(seconds)
        calm.memory = {name: [resident(pid) / _MB for pid in family(root)] for name, root in pids.items()}
    calm.shares = dict(zip(pids, (cpu / meter.seconds for cpu in meter.cpu), strict=False))
    calm.database = sum(meter.cpu[len(pids) :]) / meter.seconds
    calm.meter = meter
    return calm


def _start_row(kind: Kind, starts: list[float]) -> Row:
    return Row(
        case=f"worker's start to its first job done: {kind.name}",
        p50=median(starts) * 1000,
        p99=max(starts) * 1000,
        target="≤ 2 s",
        note=f"median and worst of {len(starts)}",
    )


def _calm_rows(kind: Kind, calm: Calm) -> list[Row]:
    beside = f"; the database {calm.database:.2%} beside" if kind.pids else ""
    return [
        Row(
            case=f"idle {name}, share of a core: {kind.name}",
            rate=share * 100,
            unit="%",
            target="≤ 1 %, ≤ 80 MB a process",
            note=f"memory {' + '.join(f'{one:.0f}' for one in calm.memory[name])} MB{beside}; {calm.meter.quiet}",
        )
        for name, share in calm.shares.items()
    ]


if __name__ == "__main__":
    run({"idle": measure})

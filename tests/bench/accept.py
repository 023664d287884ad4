"""Accepting: one signed event of 1 KB on disk before its answer, beside a hook that verifies and stores nothing.

That hook runs twice: under the server that comes with the service, which takes whatever arrived by the same time
together, and under gunicorn's own threaded worker, as hooks usually run. Both have as many threads as the service.

`python -m tests.bench.accept`
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from statistics import median

from webhook_svc.store.tables import job

from .databases import kinds, rows_of
from .load import Shot, shoot
from .machine import Meter, metered
from .report import Row, Scale, percentile, ratios, run
from .service import Site, as_bytes, callback, web

BODY = 1024
SIGNATURES = {"contracts": "Firma", "inhouse": "generic hmac"}
_TARGETS = {"SQLite": "CPU ≤ 1.25 x, rate ≥ 0.8 x", "Postgres": "CPU ≤ 1.4 x, rate ≥ 0.8 x"}
YARDSTICKS = {"our server": (), "gthread": ("--worker-class", "gthread")}
"""What gunicorn is told beside the service's configuration."""
_numbers = count(1)


@dataclass(slots=True, kw_only=True)
class Contender:
    """One web process under load, the processes whose CPU counts, and its runs by what was asked of it."""

    name: str
    site: Site
    pids: tuple[int, ...]
    yardstick: bool = False
    accepted: int = 0
    runs: dict[str, list[tuple[Shot, Meter]]] = field(default_factory=dict)

    def take(self, what: str, source: str, events: int, rate: float = 0.0) -> None:
        requests = [as_bytes(source, *callback(next(_numbers), source, padding=BODY)) for _ in range(events)]
        with metered(*self.pids) as meter:
            shot = shoot(self.site.port, requests, rate=rate)
        if shot.statuses != {200: events}:
            raise RuntimeError(f"{self.name} answered {shot.statuses}, see {self.site.home}")
        self.accepted += events
        self.runs.setdefault(what, []).append((shot, meter))

    def rates(self, what: str) -> list[float]:
        return [len(shot.latencies) / shot.seconds for shot, _ in self.runs[what]]

    def costs(self, what: str) -> list[float]:
        """CPU ms of one event, web and database together."""
        return [sum(meter.cpu) * 1000 / len(shot.latencies) for shot, meter in self.runs[what]]


def measure(scale: Scale) -> list[Row]:
    with _contenders() as contenders:
        for one in contenders:
            one.take("warm", "contracts", scale.events // 3)
            one.take("warm", "inhouse", scale.events // 3)
        for _ in range(scale.rounds):
            for source in SIGNATURES:
                for one in contenders:
                    one.take(source, source, scale.events)
        for one in contenders:
            one.take("paced", "contracts", scale.events, 0.8 * median(one.rates("contracts")))
        for one in contenders:
            if not one.yardstick:
                _check(one)
        rows = [row for source in SIGNATURES for row in _rows(contenders, source)]
        return rows + [_paced(one) for one in contenders]


@contextmanager
def _contenders() -> Iterator[list[Contender]]:
    """The yardsticks first."""
    with ExitStack() as stack:

        def begun(name: str, store: str, app: str, *options: str, pids: tuple[int, ...] = ()) -> Contender:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-accept-")))
            site = Site(home=home, store=store)
            child: subprocess.Popen[bytes] = stack.enter_context(web(site, app, *options))
            return Contender(name=name, site=site, pids=(child.pid, *pids), yardstick="reference" in app)

        databases = stack.enter_context(kinds())
        unused, hook = databases[0].fresh(), "tests.bench.reference:wsgi()"
        yardsticks = [begun(f"verify only, {name}", unused, hook, *more) for name, more in YARDSTICKS.items()]
        service = "webhook_svc.wiring:wsgi()"
        yield [*yardsticks, *(begun(kind.name, kind.fresh(), service, pids=kind.pids) for kind in databases)]


def _check(one: Contender) -> None:
    """As many events wait for their parse as were answered with a 200: nothing was lost, nothing doubled."""
    waiting = rows_of(one.site.store, job)
    if waiting != one.accepted:
        raise RuntimeError(f"{one.name}: {one.accepted} accepted, {waiting} in the store")


def _rows(contenders: list[Contender], source: str) -> Iterator[Row]:
    """The service's figures once beside each yardstick."""
    yardsticks = [one for one in contenders if one.yardstick]
    for one in contenders:
        if one.yardstick:
            yield _row(one, source)
        else:
            yield from (_beside(_row(one, source), one, source, yardstick) for yardstick in yardsticks)


def _row(one: Contender, source: str) -> Row:
    runs = one.runs[source]
    latencies = [latency for shot, _ in runs for latency in shot.latencies]
    database = sum(sum(meter.cpu[1:]) for _, meter in runs) * 1000 / len(latencies)
    generator = sum(shot.cpu for shot, _ in runs) * 1000 / len(latencies)
    return Row(
        case=f"accept, {SIGNATURES[source]}: {one.name}",
        rate=median(one.rates(source)),
        cpu_ms=median(one.costs(source)),
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        note=f"of it database {database:.2f}; generator {generator:.2f} beside; {runs[-1][1].quiet}",
    )


def _beside(row: Row, one: Contender, source: str, yardstick: Contender) -> Row:
    return replace(
        row,
        case=f"{row.case}, beside {yardstick.name}",
        rate_ratio=ratios(one.rates(source), yardstick.rates(source)),
        cpu_ratio=ratios(one.costs(source), yardstick.costs(source)),
        target=_TARGETS[one.name],
    )


def _paced(one: Contender) -> Row:
    shot, meter = one.runs["paced"][0]
    return Row(
        case=f"accept at 80 % of its rate: {one.name}",
        rate=one.rates("paced")[0],
        cpu_ms=one.costs("paced")[0],
        p50=percentile(shot.latencies, 0.5),
        p99=percentile(shot.latencies, 0.99),
        target="p99 ≤ 500 ms",
        note=meter.quiet,
    )


if __name__ == "__main__":
    run({"accept": measure})

"""Accepting: one signed event of 1 KB on disk before its answer, beside a hook that verifies and stores nothing.

`python -m tests.bench.accept`
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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
_numbers = count(1)


@dataclass(slots=True, kw_only=True)
class Contender:
    """One web process under load, the processes whose CPU counts, and its runs by what was asked of it."""

    name: str
    site: Site
    pids: tuple[int, ...]
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
        for one in contenders[1:]:
            _check(one)
        rows = [_row(one, source, contenders[0]) for source in SIGNATURES for one in contenders]
        return rows + [_paced(one) for one in contenders]


@contextmanager
def _contenders() -> Iterator[list[Contender]]:
    """The yardstick first."""
    with ExitStack() as stack:

        def begun(name: str, store: str, app: str, pids: tuple[int, ...]) -> Contender:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-accept-")))
            site = Site(home=home, store=store)
            child: subprocess.Popen[bytes] = stack.enter_context(web(site, app))
            return Contender(name=name, site=site, pids=(child.pid, *pids))

        databases = stack.enter_context(kinds())
        reference = begun("verify only", databases[0].fresh(), "tests.bench.reference:wsgi()", ())
        service = "webhook_svc.wiring:wsgi()"
        yield [reference, *(begun(kind.name, kind.fresh(), service, kind.pids) for kind in databases)]


def _check(one: Contender) -> None:
    """As many events wait for their parse as were answered with a 200: nothing was lost, nothing doubled."""
    waiting = rows_of(one.site.store, job)
    if waiting != one.accepted:
        raise RuntimeError(f"{one.name}: {one.accepted} accepted, {waiting} in the store")


def _row(one: Contender, source: str, reference: Contender) -> Row:
    runs = one.runs[source]
    latencies = [latency for shot, _ in runs for latency in shot.latencies]
    database = sum(sum(meter.cpu[1:]) for _, meter in runs) * 1000 / len(latencies)
    generator = sum(shot.cpu for shot, _ in runs) * 1000 / len(latencies)
    yardstick = one is reference
    return Row(
        case=f"accept, {SIGNATURES[source]}: {one.name}",
        rate=median(one.rates(source)),
        cpu_ms=median(one.costs(source)),
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        rate_ratio=None if yardstick else ratios(one.rates(source), reference.rates(source)),
        cpu_ratio=None if yardstick else ratios(one.costs(source), reference.costs(source)),
        target="" if yardstick else _TARGETS[one.name],
        note=f"of it database {database:.2f}; generator {generator:.2f} beside; {runs[-1][1].quiet}",
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

"""A thousand callbacks at once, until all files stand there; and once more, killed when all were acknowledged."""

import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

from ..databases import kinds
from ..forward import SIZE
from ..load import shoot
from ..machine import metered
from ..provider import provider
from ..report import Row, Scale, ratios
from ..service import as_bytes, callback
from .entrants import Entrant, entrants

PATIENCE = 90.0
"""Seconds without another file after which none is expected any more: longer than anybody's lease."""

WARM = 50
_numbers = count(1)


@dataclass(slots=True)
class Runs:
    """Documents a second and CPU ms of one, round by round; and how many were acknowledged and never came."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    lost: int = 0
    quiet: str = ""


def measure(scale: Scale) -> list[Row]:
    with ExitStack() as stack:
        databases = stack.enter_context(kinds())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-peers-")))
        sender = stack.enter_context(provider(SIZE))
        racing = stack.enter_context(entrants(home, databases, sender.url))
        runs = {one.name: Runs() for one in racing}
        for _ in range(scale.rounds):
            for one in racing:
                _lap(one, runs[one.name], scale.documents)
        for one in racing:
            _killed(one, runs[one.name], scale.documents)
    own, others = list(runs)[: len(databases)], list(runs)[len(databases) :]
    peers = [runs[name] for name in others]
    rows = [_row(name, runs[name], peers, scale.documents) for name in own]
    return rows + [_row(name, runs[name], [], scale.documents) for name in others]


def _lap(one: Entrant, runs: Runs, documents: int) -> None:
    """Alone on the machine: the others do not even run."""
    one.start()
    _warm(one)
    wanted, requests = one.files() + documents, _requests(documents)
    with metered(*one.pids) as meter:
        started = time.perf_counter()
        _send(one, requests)
        if _came(one, wanted) < wanted:
            raise RuntimeError(f"{one.name} lost documents though nothing was killed, see {one.home}")
        seconds = time.perf_counter() - started
    one.kill(signal.SIGTERM)
    runs.rates.append(documents / seconds)
    runs.costs.append(sum(meter.cpu) * 1000 / documents)
    runs.quiet = meter.quiet


def _killed(one: Entrant, runs: Runs, documents: int) -> None:
    """Every process gets SIGKILL as soon as the last callback is acknowledged, and is started again."""
    one.start()
    _warm(one)
    wanted, requests = one.files() + documents, _requests(documents)
    _send(one, requests)
    one.kill()
    one.start()
    runs.lost = wanted - _came(one, wanted)
    one.kill(signal.SIGTERM)


def _warm(one: Entrant) -> None:
    wanted = one.files() + WARM
    _send(one, _requests(WARM))
    _came(one, wanted)


def _requests(documents: int) -> list[bytes]:
    return [as_bytes("contracts", *callback(next(_numbers), padding=1024)) for _ in range(documents)]


def _send(one: Entrant, requests: list[bytes]) -> None:
    shot = shoot(one.port, requests)
    if shot.statuses != {200: len(requests)}:
        raise RuntimeError(f"{one.name} answered {shot.statuses}, see {one.home}")


def _came(one: Entrant, wanted: int) -> int:
    """How many files stand there once all do, or once no more come."""
    seen, since = one.files(), time.monotonic()
    while seen < wanted and time.monotonic() - since < PATIENCE:
        time.sleep(0.05)
        now = one.files()
        if now > seen:
            seen, since = now, time.monotonic()
    return seen


def _row(name: str, runs: Runs, peers: list[Runs], documents: int) -> Row:
    """Beside the fastest of the peers, and beside the one that took the least CPU."""
    fastest = max(peers, key=lambda one: median(one.rates), default=None)
    thriftiest = min(peers, key=lambda one: median(one.costs), default=None)
    return Row(
        case=f"{documents} callbacks at once to files; {runs.lost} of as many lost under kill -9: {name}",
        rate=median(runs.rates),
        unit="documents/s",
        cpu_ms=median(runs.costs),
        rate_ratio=ratios(runs.rates, fastest.rates) if fastest else None,
        cpu_ratio=ratios(runs.costs, thriftiest.costs) if thriftiest else None,
        target="rate > 1 x, CPU < 1 x, none lost" if peers else "",
        note=runs.quiet,
    )

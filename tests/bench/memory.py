"""Memory: how much a worker grows over one large document, into a folder and into a bucket, and how fast it goes;
and over many at once.

`python -m tests.bench.memory`
"""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .bucket import bucket
from .databases import Kind, kinds
from .forward import accept_all
from .machine import Meter, metered, resident
from .provider import Provider, provider
from .report import Row, Scale, ratios, run
from .service import FOLDER, Said, Site, worker

_BUCKET = """kind = "s3"
bucket = "bench-bucket"
prefix = "{{home}}"
endpoint = "{address}"
access_key_id = "key"
secret_access_key = "secret"
name = "{{{{source}}}}/{{{{document}}}}/document.pdf"
"""
_MB = 1024 * 1024
_STAGES = ("fetch", "deliver")
_AT_ONCE, _OF = 64, 20 * _MB


@dataclass(slots=True, kw_only=True)
class Growth:
    """Bytes."""

    idle: int
    peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One document's way: seconds into the vault, seconds from there into the sink."""

    growth: Growth
    meter: Meter
    fetch: float
    deliver: float


def measure(scale: Scale) -> list[Row]:
    with kinds() as databases:
        # The database has no part in these bytes: one kind of it is enough.
        return [*_large(scale, databases[0]), _many(databases[0])]


def _large(scale: Scale, kind: Kind) -> list[Row]:
    """Round by round: curl, its file synced as ours are, and copied and synced again; then the worker, which writes two
    or sends it."""
    size = scale.large / _MB
    curl: list[float] = []
    synced: list[float] = []
    twice: list[float] = []
    with provider(scale.large) as sender, bucket() as address:
        sinks = {"a folder": FOLDER, "S3": _BUCKET.format(address=address)}
        taken: dict[str, list[Taken]] = {name: [] for name in sinks}
        for _ in range(scale.rounds):
            alone, with_sync, with_copy = _curl(sender)
            curl.append(size / alone)
            synced.append(size / with_sync)
            twice.append(size / with_copy)
            for name, sink in sinks.items():
                taken[name].append(_forward(kind, sender, sink))
    rows = [
        Row(case=f"{size:.0f} MB: curl -o", rate=median(curl), unit="MB/s", note="one copy, in the cache"),
        Row(case=f"{size:.0f} MB: curl -o, synced", rate=median(synced), unit="MB/s", note="one copy, on disk"),
        Row(case=f"{size:.0f} MB: curl -o, synced, cp, synced", rate=median(twice), unit="MB/s", note="two copies"),
    ]
    slower = {"a sync": synced, "two synced copies": twice}
    return rows + [_row(f"{size:.0f} MB into {name}", runs, size, curl, slower) for name, runs in taken.items()]


def _curl(sender: Provider) -> tuple[float, float, float]:
    """Seconds until curl ends, until its file is on disk, and until a copy of it is."""
    with tempfile.TemporaryDirectory(prefix="bench-curl-") as folder:
        path, copy, started = Path(folder, "document.pdf"), Path(folder, "copy.pdf"), time.perf_counter()
        subprocess.run(["curl", "-sf", "-o", path, f"{sender.url}/files/doc-0"], check=True)
        alone = time.perf_counter() - started
        _sync(path)
        synced = time.perf_counter() - started
        subprocess.run(["cp", "--reflink=never", path, copy], check=True)
        _sync(copy)
        return alone, synced, time.perf_counter() - started


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _many(kind: Kind) -> Row:
    """Documents at once, each held up by its provider until all of them are under way."""
    with provider(_OF, 0.2) as sender, tempfile.TemporaryDirectory(prefix="bench-many-") as home:
        site = Site(home=Path(home), store=kind.fresh(), provider=sender.url, concurrency=_AT_ONCE)
        with worker(site) as child:
            time.sleep(1.0)
            with watched(child.pid) as growth, metered(child.pid) as meter:
                accept_all(site, _AT_ONCE)
                Said(site.log("worker")).wait("deliver.done", _AT_ONCE)
    grown = (growth.peak - growth.idle) / _MB
    return Row(
        case=f"{_AT_ONCE} at once of {_OF / _MB:.0f} MB into a folder",
        rate=_AT_ONCE * _OF / _MB / meter.seconds,
        unit="MB/s",
        cpu_ms=meter.cpu[0] * 1000 / _AT_ONCE,
        target="memory bounded",
        note=f"memory +{grown:.0f} MB above idle {growth.idle / _MB:.0f} MB, {grown / _AT_ONCE:.1f} MB each; "
        f"{meter.quiet}",
    )


def _forward(kind: Kind, sender: Provider, sink: str) -> Taken:
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as home:
        site = Site(home=Path(home), store=kind.fresh(), provider=sender.url, sink=sink)
        with worker(site) as child:
            time.sleep(1.0)
            with watched(child.pid) as growth, metered(child.pid) as meter:
                accept_all(site, 1)
                Said(site.log("worker")).wait("deliver.done", 1)
        lines = [json.loads(line) for line in site.log("worker").read_text().splitlines()]
    fetch, deliver = (next(line["ms"] for line in lines if line["event"] == f"{stage}.done") for stage in _STAGES)
    return Taken(growth=growth, meter=meter, fetch=fetch / 1000, deliver=deliver / 1000)


@contextmanager
def watched(pid: int) -> Iterator[Growth]:
    growth, ended = Growth(idle=resident(pid), peak=resident(pid)), threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            growth.peak = max(growth.peak, resident(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield growth
    finally:
        ended.set()
        thread.join()


def _row(case: str, taken: list[Taken], size: float, curl: list[float], slower: Mapping[str, list[float]]) -> Row:
    rates = [size / (one.fetch + one.deliver) for one in taken]
    against = ", ".join(
        f"{ratios(rates, yardstick)[0]:.2f} x against curl and {name}" for name, yardstick in slower.items()
    )
    worst = max(one.growth.peak - one.growth.idle for one in taken) / _MB
    return Row(
        case=case,
        rate=median(rates),
        unit="MB/s",
        cpu_ms=median(one.meter.cpu[0] for one in taken) * 1000,
        rate_ratio=ratios(rates, curl),
        target="memory ≤ 100 MB above idle, ≥ 0.8 x",
        note=f"memory +{worst:.0f} MB above idle {taken[0].growth.idle / _MB:.0f} MB; into the vault "
        f"{size / median(one.fetch for one in taken):.0f} MB/s, out of it "
        f"{size / median(one.deliver for one in taken):.0f} MB/s; {against}; {taken[-1].meter.quiet}",
    )


if __name__ == "__main__":
    run({"memory": measure})

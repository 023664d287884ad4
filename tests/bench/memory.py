"""Memory: how much a worker grows over one large document, into a folder and into a bucket, and how fast it goes.

`python -m tests.bench.memory`
"""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
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
    size = scale.large / _MB
    with kinds() as databases, provider(scale.large) as sender, bucket() as address:
        curl = [_curl(sender, scale.large) for _ in range(scale.rounds)]
        rows = [Row(case=f"{size:.0f} MB: curl -o", rate=median(curl), unit="MB/s", note="download, no sync")]
        for name, sink in (("folder", FOLDER), ("S3", _BUCKET.format(address=address))):
            # The database has no part in these bytes: one kind of it is enough.
            taken = [_forward(databases[0], sender, sink) for _ in range(scale.rounds)]
            rows.append(_row(f"{size:.0f} MB into {name}", taken, size, curl))
    return rows


def _curl(sender: Provider, size: int) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-curl-") as folder:
        started = time.perf_counter()
        subprocess.run(["curl", "-sf", "-o", f"{folder}/document.pdf", f"{sender.url}/files/doc-0"], check=True)
        return size / _MB / (time.perf_counter() - started)


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


def _row(case: str, taken: list[Taken], size: float, curl: list[float]) -> Row:
    rates = [size / (one.fetch + one.deliver) for one in taken]
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
        f"{size / median(one.deliver for one in taken):.0f} MB/s; {taken[-1].meter.quiet}",
    )


if __name__ == "__main__":
    run({"memory": measure})

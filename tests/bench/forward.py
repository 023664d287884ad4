"""Forwarding: documents through one worker into a folder, beside a thread pool that keeps no state, and beside one that
does by hand what the promises need and nothing else.

`python -m tests.bench.forward`
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from webhook_svc import wiring
from webhook_svc.core.types import RawRequest

from .databases import Kind, kinds
from .machine import metered
from .provider import Provider, provider
from .report import Row, Scale, ratios, run
from .service import CONCURRENCY, ROOT, Said, Site, callback, worker

SIZE = 200 * 1024
LATENCIES = (0.0, 0.1)
_SCRIPT, _DURABLE = "script", "the promises by hand"
_YARDSTICKS = {_SCRIPT: "tests.bench.script", _DURABLE: "tests.bench.durable"}


@dataclass(slots=True)
class Runs:
    """Documents a second, CPU ms of a document (our process, the database), and how quiet the last run was."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    quiet: str = ""

    @property
    def totals(self) -> list[float]:
        return [own + database for own, database in zip(self.costs, self.database, strict=True)]


def measure(scale: Scale) -> list[Row]:
    """What a run wrote is deleted after the last one: ext4 steps over every inode that was freed in the last half
    minute, which would make the next run's files dearer, and we make more of them than the script."""
    rows: list[Row] = []
    with kinds() as databases, tempfile.TemporaryDirectory(prefix="bench-forward-") as home:
        for latency in LATENCIES:
            runs = {name: Runs() for name in (*_YARDSTICKS, *(kind.name for kind in databases))}
            with provider(SIZE, latency) as sender:
                for _ in range(scale.rounds):
                    for name, module in _YARDSTICKS.items():
                        _run_script(runs[name], module, _fresh(home), sender, scale.documents)
                    for kind in databases:
                        _run_worker(runs[kind.name], _fresh(home), kind, sender, scale.documents)
            rows += [_row(name, latency, runs) for name in runs]
    return rows


def _fresh(home: str) -> Path:
    return Path(tempfile.mkdtemp(dir=home))


def _run_script(runs: Runs, module: str, folder: Path, sender: Provider, documents: int) -> None:
    command = [sys.executable, "-m", module, sender.url, str(folder), str(documents), str(CONCURRENCY)]
    with metered(sender.pid) as meter:
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    if len(list(folder.glob("archive/*/*.pdf")) or list(folder.glob("*.pdf"))) != documents:
        raise RuntimeError("the script has not written every document")
    took = json.loads(done.stdout)
    _keep(runs, documents, took["seconds"], took["cpu"], 0.0)
    runs.served.append(meter.cpu[0] * 1000 / documents)
    runs.quiet = meter.quiet


def _run_worker(runs: Runs, home: Path, kind: Kind, sender: Provider, documents: int) -> None:
    """From the worker's first claim to its last receipt; its start is not counted."""
    site = Site(home=home, store=kind.fresh(), provider=sender.url)
    accept_all(site, documents)
    with worker(site) as child, metered(child.pid, sender.pid, *kind.pids) as meter:
        Said(site.log("worker")).wait("deliver.done", documents)
    check_files(site, documents)
    _keep(runs, documents, meter.seconds, meter.cpu[0], sum(meter.cpu[2:]))
    runs.served.append(meter.cpu[1] * 1000 / documents)
    runs.quiet = meter.quiet


def accept_all(site: Site, documents: int) -> None:
    """The callbacks of so many documents, accepted as the web process does it."""
    made = wiring.service(wiring.configured(site.environ))
    source = made.parties.sources["contracts"]

    def accept(number: int) -> None:
        headers, body = callback(number)
        named = tuple((name.lower(), value) for name, value in headers.items())
        made.ingest.receive(source, RawRequest(headers=named, body=body), "127.0.0.1")

    with closing(made.store), ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(accept, range(documents)))


def check_files(site: Site, documents: int) -> None:
    sizes = [path.stat().st_size for path in site.archive.rglob("*.pdf")]
    if sizes != [SIZE] * documents:
        raise RuntimeError(f"{len(sizes)} of {documents} documents stand in {site.archive}, or not all whole")


def _keep(runs: Runs, documents: int, seconds: float, cpu: float, database: float) -> None:
    runs.rates.append(documents / seconds)
    runs.costs.append(cpu * 1000 / documents)
    runs.database.append(database * 1000 / documents)


def _row(name: str, latency: float, runs: Mapping[str, Runs]) -> Row:
    one, script, durable = runs[name], runs[_SCRIPT], runs[_DURABLE]
    yardstick = name in _YARDSTICKS
    floor = "" if yardstick else f"{ratios(one.totals, durable.totals)[0]:.2f} x the CPU of {_DURABLE}; "
    return Row(
        case=f"forward 200 KB, provider of {latency * 1000:.0f} ms: {name}",
        rate=median(one.rates),
        unit="documents/s",
        cpu_ms=median(one.totals),
        rate_ratio=None if one is script else ratios(one.rates, script.rates),
        cpu_ratio=None if one is script else ratios(one.totals, script.totals),
        target="" if yardstick else "CPU ≤ 1.5 x" + (", rate ≥ 0.9 x" if latency else ""),
        note=f"{floor}of it database {median(one.database):.2f}; provider {median(one.served):.2f} beside; {one.quiet}",
    )


if __name__ == "__main__":
    run({"forward": measure})

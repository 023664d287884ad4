"""Growth: what the store does among a million rows, beside the same with an empty one.

`python -m tests.bench.growth`
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from statistics import median

from tests.crowd import SINK, SOURCE, Crowd, fill
from webhook_svc.core.asking import Kind, Query
from webhook_svc.core.ids import new_id
from webhook_svc.core.outcomes import Delivered, Fetched, Outcome, Parsed, Settlement
from webhook_svc.core.types import DocumentRef, Job, Meaning, Part, Receipt, Stage
from webhook_svc.core.work import NewDelivery, Wish
from webhook_svc.store.sql import SqlStore

from .databases import Kind as Database
from .databases import kinds
from .machine import metered
from .report import Row, Scale, ratios, run
from .service import judged

BATCH, THREADS = 32, 32
LISTINGS: tuple[Kind, ...] = ("events", "deliveries", "dead", "refused")
_FILE = Part(kind="document", name="document.pdf", sha256="ab" * 32, size=200_000, content_type="application/pdf")
_numbers = count(1)


@dataclass(slots=True, kw_only=True)
class Contender:
    """A store with its rows, and by what was done the CPU ms (ours and the database's) and the ms of each round."""

    name: str
    store: SqlStore
    database: tuple[int, ...]
    cpu: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    quiet: str = ""

    @contextmanager
    def taking(self, what: str, units: int) -> Iterator[None]:
        with metered(os.getpid(), *self.database) as meter:
            yield
        self.cpu.setdefault(what, []).append(sum(meter.cpu) * 1000 / units)
        self.wall.setdefault(what, []).append(meter.seconds * 1000 / units)
        self.quiet = meter.quiet


def crowds(size: int) -> Mapping[str, Crowd]:
    """The yardstick first."""
    return {
        "empty": Crowd(),
        f"{size // 10:_} finished".replace("_", " "): Crowd(finished=size // 10),
        f"{size:_} finished".replace("_", " "): Crowd(finished=size),
        f"{size:_} waiting".replace("_", " "): Crowd(waiting=size),
    }


def measure(scale: Scale) -> list[Row]:
    rows: list[Row] = []
    with kinds() as databases:
        for kind in databases:
            with _contenders(kind, scale.crowd) as contenders:
                _round(contenders, scale.events // 10)
                for one in contenders:
                    one.cpu.clear()
                    one.wall.clear()
                for _ in range(scale.rounds):
                    _round(contenders, scale.events)
                rows += [_row(kind.name, what, contenders) for what in contenders[0].cpu]
    return rows


@contextmanager
def _contenders(kind: Database, size: int) -> Iterator[list[Contender]]:
    with ExitStack() as stack:
        found = []
        for name, crowd in crowds(size).items():
            url = kind.fresh()
            fill(url, crowd)
            store = stack.enter_context(closing(SqlStore(url)))
            found.append(Contender(name=name, store=store, database=kind.pids))
        yield found


def _round(contenders: list[Contender], events: int) -> None:
    """Each act on each store before the next act, so that the machine's moods hit all alike."""
    acts: tuple[Callable[[Contender, int], None], ...] = (_accept, _work, _list, _watch)
    for act in acts:
        for one in contenders:
            act(one, events)


def _accept(one: Contender, events: int) -> None:
    fresh = [judged(next(_numbers), padding=1024) for _ in range(events)]
    with ThreadPoolExecutor(THREADS) as threads, one.taking("accept", len(fresh)):
        accepted = list(threads.map(lambda event: one.store.accept(event, 30.0), fresh))
    if not all(each.new for each in accepted):
        raise RuntimeError(f"{one.name} knew some events already")


def _work(one: Contender, events: int) -> None:
    """As many jobs of each stage as events were accepted; of those that wait, the oldest are taken first."""
    with ThreadPoolExecutor(THREADS) as threads, one.taking("claim 32 and settle them", events * 3 // BATCH):
        for lane, jobs in ((f"source:{SOURCE}", events * 2), (f"sink:{SINK}", events)):
            _drain(one.store, threads, lane, jobs)


def _drain(store: SqlStore, threads: ThreadPoolExecutor, lane: str, jobs: int) -> None:
    while jobs > 0:
        wish = Wish(worker="bench", lanes={lane: BATCH}, total=BATCH, lease=60.0, idle=True)
        claimed = store.claim(wish).jobs
        if not claimed:
            raise RuntimeError(f"{lane} ran dry")
        list(threads.map(lambda job: store.settle(_settlement(job)), claimed))
        jobs -= len(claimed)


def _list(one: Contender, events: int) -> None:
    pages = events // 12
    with one.taking("first page of each listing", pages):
        for _ in range(pages):
            for kind in LISTINGS:
                one.store.list(Query(kind=kind))


def _watch(one: Contender, events: int) -> None:
    looks = events // 12
    with one.taking("/readyz", looks):
        for _ in range(looks):
            if one.store.ready():
                raise RuntimeError("the store is not ready")
            one.store.unserved()
    with one.taking("/metrics", looks // 4):
        for _ in range(looks // 4):
            one.store.gauges()


def _settlement(job: Job) -> Settlement:
    now = time.time()
    return Settlement(job=job, outcome=_outcome(job), started=now, ended=now, worker="bench")


def _outcome(job: Job) -> Outcome:
    if job.stage is Stage.PARSE:
        documents = ((DocumentRef(id=job.ref), Meaning.READY),)
        return Parsed(type="signing_request.completed", sender_id=job.ref, documents=documents)
    if job.stage is Stage.FETCH:
        delivery = NewDelivery(
            id=new_id("dlv", time.time()),
            sink=SINK,
            supplement=0,
            parts=(_FILE,),
            paths=(f"contracts/{job.ref}/document.pdf",),
            manifest=b"{}" * 100,
            manifest_path=f"contracts/{job.ref}/manifest.json",
        )
        return Fetched(wanted=1, version=1, title="Deed", parts=(_FILE,), deliveries=(delivery,))
    return Delivered(receipt=Receipt(location=f"contracts/{job.ref}/document.pdf", proof="read back"))


def _row(database: str, what: str, contenders: list[Contender]) -> Row:
    """The worst of them; the others stand in the note."""
    empty, *others = contenders
    cpu = {one.name: ratios(one.cpu[what], empty.cpu[what]) for one in others}
    wall = {one.name: ratios(one.wall[what], empty.wall[what]) for one in others}
    worst = max(others, key=lambda one: cpu[one.name][0])
    each = ", ".join(f"{name} {cpu[name][0]:.2f} x (time {wall[name][0]:.2f} x)" for name in cpu)
    return Row(
        case=f"{what}, {worst.name}: {database}",
        rate=1000 / median(worst.wall[what]),
        unit="/s",
        cpu_ms=median(worst.cpu[what]),
        cpu_ratio=cpu[worst.name],
        target="" if what == "/metrics" else "≤ 1.2 x the empty store",
        note=f"{each}; {worst.quiet}",
    )


if __name__ == "__main__":
    run({"growth": measure})

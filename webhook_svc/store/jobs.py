"""Rows of work: how they come to be, are claimed from their first moment on, wait and go."""

from collections.abc import Sequence
from typing import Any

from ..core.ids import new_id
from ..core.types import Job, Stage
from ..core.work import DeliveryRow
from .engine import Tx
from .prepared import Prepared, PreparedEach, given, inserting
from .tables import job

SUSPECT_EXPIRIES = 2
"""A job that lost its worker this often runs alone from then on. Once proves nothing: a worker that is killed loses
all its jobs."""

COLUMNS = (
    job.c.id,
    job.c.lane,
    job.c.stage,
    job.c.ref,
    job.c.claim,
    job.c.tries,
    job.c.waits,
    job.c.doubts,
    job.c.created,
    job.c.lease_until,
    job.c.expiries,
)

_NEW = ("id", "lane", "stage", "share", "ref", "state", "run_at", "created")
_INSERT = inserting(job, *_NEW, unless=("stage", "ref"))
_INSERT_RUNNING = inserting(job, *_NEW, "claim", "lease_until", "worker")
_DELETE = PreparedEach({"id": job.c.id}, lambda row, _: job.delete().where(job.c.id == row.id))
_WAIT = Prepared(
    job.update()
    .where(job.c.id == given("which"))
    .values(
        state="waiting",
        lease_until=None,
        worker="",
        run_at=given("at"),
        tries=given("failed"),
        waits=given("waited"),
        doubts=given("doubted"),
        expiries=0,
    )
)


def as_job(row: Any, subject: Any = None) -> Job:
    return Job(
        id=row.id,
        lane=row.lane,
        stage=Stage(row.stage),
        ref=row.ref,
        claim=row.claim,
        tries=row.tries,
        waits=row.waits,
        doubts=row.doubts,
        created=row.created,
        lease_until=row.lease_until or 0.0,
        alone=row.expiries >= SUSPECT_EXPIRIES,
        row=subject,
    )


def insert_jobs(tx: Tx, stage: Stage, places: Sequence[tuple[str, ...]], *, delay: float = 0.0) -> None:
    """A waiting job for each (lane, ref), of a delivery (lane, ref, source); one that is there already stays as it
    is."""
    rows = [
        {
            "id": new_id("job", tx.now),
            "lane": lane,
            "stage": stage.value,
            "share": "".join(share),
            "ref": ref,
            "state": "waiting",
            "run_at": tx.now + delay,
            "created": tx.now,
        }
        for lane, ref, *share in places
    ]
    if rows:
        _INSERT.run(tx.driver, rows)
        tx.made_work = True


def new_job(tx: Tx, stage: Stage, place: tuple[str, str], lease: float, subject: Any) -> Job:
    """Claimed from its first moment on; `subject` is what its stage would read."""
    lane, ref = place
    until = tx.now + lease
    return Job(
        id=new_id("job", tx.now),
        lane=lane,
        stage=stage,
        ref=ref,
        claim=1,
        tries=0,
        created=tx.now,
        lease_until=until,
        row=subject,
    )


def insert_running(tx: Tx, jobs: Sequence[tuple[Job, str]]) -> None:
    """New jobs, each with its worker. Their subjects are new too, so that nobody else can have made jobs of them."""
    rows = [
        {
            "id": new.id,
            "lane": new.lane,
            "stage": new.stage.value,
            "share": new.row.source if isinstance(new.row, DeliveryRow) else "",
            "ref": new.ref,
            "state": "running",
            "run_at": tx.now,
            "created": tx.now,
            "claim": new.claim,
            "lease_until": new.lease_until,
            "worker": worker,
        }
        for new, worker in jobs
    ]
    _INSERT_RUNNING.run(tx.driver, rows)


def finish(tx: Tx, done: Sequence[Job]) -> None:
    _DELETE.run(tx.driver, [{"id": one.id} for one in done])


def start_over(tx: Tx, fetch: Job, delay: float = 0.0) -> None:
    """What was asked for while it ran is looked for as long as if it were new."""
    wait(tx, fetch, delay, tries=0, waits=0)


def wait(tx: Tx, waiting: Job, delay: float, *, tries: int, waits: int, doubts: int = 0) -> None:
    _WAIT.run(tx.driver, which=waiting.id, at=tx.now + delay, failed=tries, waited=waits, doubted=doubts)
    if delay <= 0:
        tx.made_work = True

"""Rows of work: how they come to be."""

from collections.abc import Sequence

from ..core.ids import new_id
from ..core.types import Stage
from .engine import Tx
from .prepared import inserting
from .tables import job

_INSERT = inserting(job, "id", "lane", "stage", "ref", "state", "run_at", "created", unless=("stage", "ref"))


def insert_jobs(tx: Tx, stage: Stage, places: Sequence[tuple[str, str]], *, delay: float = 0.0) -> None:
    """A waiting job for each (lane, ref); one that is there already stays as it is."""
    rows = [
        {
            "id": new_id("job", tx.now),
            "lane": lane,
            "stage": stage.value,
            "ref": ref,
            "state": "waiting",
            "run_at": tx.now + delay,
            "created": tx.now,
        }
        for lane, ref in places
    ]
    _INSERT.run(tx.driver, rows)
    tx.made_work = True

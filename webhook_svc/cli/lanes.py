"""The command that shows how work moves: lanes."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import click

from ..core.lanes import COUNTED, LaneRow
from .frame import as_json, fail, opened
from .printing import age, echo_json, plain, table, when

Cell = Callable[[LaneRow, float], object]

_COLUMNS: Final[Sequence[tuple[str, Cell]]] = (
    ("LANE", lambda row, _: row.lane),
    ("WAITING", lambda row, _: _count(row.waiting)),
    ("RUNNING", lambda row, _: row.running or ""),
    ("LONGEST DUE", lambda row, now: when(row.oldest, now)),
    ("SERVED BY", lambda row, _: workers(row)),
    ("STATE", lambda row, now: state(row, now)),
    ("WHY", lambda row, _: row.reason),
)


@click.command()
@click.option("--probe", metavar="LANE", help="Let one job of this paused lane find out now whether it answers again.")
@as_json
def lanes(probe: str | None, as_json: bool) -> None:
    """List where work waits, and what keeps it.

    A lane is a source or a sink. One that fails again and again is paused for all workers; from time to time one job
    finds out whether it answers again, and then all goes on. With --probe exit code 1 where the lane is not paused.

    \b
    Example:
      webhook-svc lanes --probe sink:archive
    """
    with opened() as made:
        if probe is not None and not made.store.probe(probe):
            fail(f"{plain(probe)} is not paused")
        rows, now = made.store.lane_rows(), made.store.now()
    if as_json:
        echo_json([{**dataclasses.asdict(row), "state": state(row, now)} for row in rows])
    elif rows:
        click.echo(table([name for name, _ in _COLUMNS], [[cell(row, now) for _, cell in _COLUMNS] for row in rows]))
    else:
        click.echo("no work waits, and no worker runs", err=True)


def state(row: LaneRow, now: float) -> str:
    if row.paused and row.until is not None:
        return f"paused until {when(row.until, now)}" if row.until > now else "paused, being probed"
    if row.waiting and not row.served_by:
        return "not served"
    return f"{row.failures} failed in a row" if row.failures else "open"


def workers(row: LaneRow) -> str:
    if len(row.served_by) == 1:
        return row.served_by[0]
    return f"{len(row.served_by)} workers" if row.served_by else "nobody"


def warnings(rows: Iterable[LaneRow], configured: Iterable[str]) -> Iterator[str]:
    """A sentence on each lane whose work does not move."""
    now, known = time.time(), frozenset(configured)
    for row in rows:
        if row.waiting and row.lane not in known:
            yield f"work of {row.lane} waits for ever ({_jobs(row)}): it is not configured"
        elif row.waiting and not row.served_by:
            yield f"work of {row.lane} waits ({_jobs(row)}): no running worker serves it"
        if row.paused and row.since is not None:
            yield f"{row.lane} is paused, in trouble since {age(row.since, now)}: {row.reason}"


def _jobs(row: LaneRow) -> str:
    return "1 job" if row.waiting == 1 else f"{_count(row.waiting)} jobs"


def _count(jobs: int) -> str:
    return f"{COUNTED} or more" if jobs >= COUNTED else str(jobs or "")

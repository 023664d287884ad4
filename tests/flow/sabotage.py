"""Breaks a promise in the process that it starts: `python tests/flow/sabotage.py answer-early webhook_svc worker`.

Only so can be shown that a proof finds a promise that is broken.
"""

import runpy
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from webhook_svc.core.outcomes import Settled, Settlement
from webhook_svc.core.store import Pending
from webhook_svc.core.types import Job, Stage
from webhook_svc.core.work import Accepted, Claims, NewEvent, Wish
from webhook_svc.store.sql import SqlStore
from webhook_svc.store.tables import job

LATE = 5.0
"""Seconds between an answer and its commit, and for which a job that is worked on is in no table."""

_accepting, _claim, _settle, _renew = SqlStore.accepting, SqlStore.claim, SqlStore.settle, SqlStore.renew


@dataclass(frozen=True)
class Told:
    """What is pending no more."""

    accepted: Accepted

    def wait(self) -> Accepted:
        return self.accepted


def answer_early() -> None:
    """The answer before the commit."""

    def accepting(self: SqlStore, event: NewEvent, timeout: float) -> Pending[Accepted]:
        threading.Timer(LATE, lambda: _accepting(self, event, timeout).wait()).start()
        return Told(Accepted(event_id=event.id, new=True))

    SqlStore.accepting = accepting  # type: ignore[method-assign]


def delete_first() -> None:
    """A job is gone from the table once it is claimed, and comes back for its settlement alone."""
    rows: dict[str, dict[str, Any]] = {}

    def claim(self: SqlStore, wish: Wish) -> Claims:
        claims = _claim(self, wish)
        early = [one.id for one in claims.jobs if one.stage is not Stage.DELIVER]
        with self.database.lock(), self.database.write() as tx:
            gone = tx.connection.execute(sa.delete(job).where(job.c.id.in_(early)).returning(*job.c)).mappings()
            rows.update({row["id"]: dict(row) for row in gone})
        return claims

    def settle(self: SqlStore, settlement: Settlement) -> Settled:
        row = rows.pop(settlement.job.id, None)
        if row is not None:
            time.sleep(LATE)
            with self.database.lock(), self.database.write() as tx:
                tx.connection.execute(sa.insert(job), [row])
        return _settle(self, settlement)

    def renew(self: SqlStore, jobs: Iterable[Job], lease: float) -> frozenset[str]:
        return _renew(self, [one for one in jobs if one.id not in rows], lease)

    SqlStore.claim = claim  # type: ignore[method-assign]
    SqlStore.settle = settle  # type: ignore[method-assign]
    SqlStore.renew = renew  # type: ignore[method-assign]


BROKEN = {"answer-early": answer_early, "delete-first": delete_first}


def main() -> None:
    promise, module, *arguments = sys.argv[1:]
    BROKEN[promise]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""What a sink lacks of the signings that were fetched before it was there, and the deliveries that bring it."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from ..core.asking import Backfill
from ..core.ids import new_id
from ..core.types import Stage, sink_lane
from ..core.work import Extra
from .deliveries import insert_deliveries
from .engine import Tx
from .jobs import insert_jobs
from .prepared import Prepared, Row, given
from .signings import lock_signings
from .tables import delivery, part, signing

PAGE = 100

_SETTLE_PARTS = Prepared(
    part.update()
    .where(part.c.signing_id == given("which"), part.c.version == given("of_version"), part.c.supplement.is_(None))
    .values(supplement=0)
)
_COUNT = Prepared(
    signing.update().where(signing.c.id == given("which"), signing.c.supplements == 0).values(supplements=1)
)


def lacking(connection: Connection, order: Backfill, after: str) -> list[str]:
    """The ids of the next signings, oldest first, of whose version nothing went to the sink."""
    went = sa.exists().where(
        delivery.c.signing_id == signing.c.id,
        delivery.c.sink == order.sink,
        delivery.c.version == signing.c.version,
    )
    first = new_id("sgn", order.since, lambda _: 0)
    query = sa.select(signing.c.id).where(signing.c.id > max(after, first), signing.c.version > 0, ~went)
    if order.source:
        query = query.where(signing.c.source == order.source)
    return list(connection.execute(query.order_by(signing.c.id).limit(PAGE)).scalars())


def hand_on(tx: Tx, batches: Sequence[Sequence[Extra]]) -> list[frozenset[str]]:
    """Of each batch the ids of the deliveries that are new."""
    ids = {one.signing_id for extras in batches for one in extras}
    rows = {row.id: row for row in lock_signings(tx, ids)}
    return [_hand_on(tx, [one for one in extras if _rests(rows.get(one.signing_id), one)]) for extras in batches]


def _rests(row: Row | None, extra: Extra) -> bool:
    """A fetch that is under way hands on by itself, and a person's decision is not forestalled."""
    return row is not None and row.state in ("complete", "partial") and row.version == extra.version


def _hand_on(tx: Tx, extras: Sequence[Extra]) -> frozenset[str]:
    made = insert_deliveries(tx, extras)
    new = [one for one in extras if one.delivery.id in made]
    for one in new:  # where no sink had been there before, these parts wait for no other bundle now
        _SETTLE_PARTS.run(tx.driver, which=one.signing_id, of_version=one.version)
        _COUNT.run(tx.driver, which=one.signing_id)
    insert_jobs(tx, Stage.DELIVER, [(sink_lane(one.delivery.sink), one.delivery.id, one.source) for one in new])
    return made

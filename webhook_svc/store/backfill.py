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
from .tables import delivery, signing

PAGE = 100


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
    return [_hand_on(tx, extras) for extras in batches]


def _hand_on(tx: Tx, extras: Sequence[Extra]) -> frozenset[str]:
    made = insert_deliveries(tx, extras)
    new = [one for one in extras if one.delivery.id in made]
    insert_jobs(tx, Stage.DELIVER, [(sink_lane(one.delivery.sink), one.delivery.id, one.source) for one in new])
    return made

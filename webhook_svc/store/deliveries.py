"""The rows of new deliveries: a bundle that already goes, or went, to a sink does not go there again."""

from collections.abc import Iterable

from ..core.ids import digest
from ..core.work import Extra
from .codec import dump_bundle
from .engine import Tx
from .prepared import inserting
from .tables import delivery

_INSERT = inserting(
    delivery,
    *("id", "key", "signing_id", "source", "sink", "version", "supplement", "state", "bundle", "created"),
    unless=("key",),
    returning=("id",),
)


def insert_deliveries(tx: Tx, extras: Iterable[Extra]) -> frozenset[str]:
    """The ids of those that are new, as yet without a job."""
    rows = [
        {
            "id": one.delivery.id,
            "key": digest(
                "delivery", one.signing_id, str(one.version), str(one.delivery.supplement), one.delivery.sink
            ),
            "signing_id": one.signing_id,
            "source": one.source,
            "sink": one.delivery.sink,
            "version": one.version,
            "supplement": one.delivery.supplement,
            "state": "waiting",
            "bundle": dump_bundle(one.delivery, one.title),
            "created": tx.now,
        }
        for one in extras
    ]
    return frozenset(row.id for row in _INSERT.all(tx.driver, rows))

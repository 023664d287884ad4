"""Hands on to a sink what was fetched before it was there: as today's routes would send it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..core.asking import Backfill, Replayed
from ..core.errors import ArtifactLost
from ..core.ports import Clock, Vault
from ..core.store import Store
from ..core.types import CALLBACK, Artifact, Part
from ..core.work import Extra, SigningRow
from .bundle import Bundle, delivery_of
from .parties import Parties, Source
from .routes import chosen
from .versions import in_order, title_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfiller:
    parties: Parties
    store: Store
    vault: Vault
    clock: Clock

    def run(self, order: Backfill) -> Iterator[Replayed]:
        """What was, or would be, done with each signing of which nothing went to the sink; the oldest first."""
        after = ""
        while ids := self.store.lacking(order, after):
            after = ids[-1]
            found = [self._one(self.store.signing(one), order) for one in ids]
            extras = [extra for _, extra in found if extra]
            made = self.store.hand_on(extras) if extras and not order.dry_run else frozenset()
            for told, extra in found:
                if told and (extra is None or order.dry_run or extra.delivery.id in made):
                    yield told

    def _one(self, row: SigningRow, order: Backfill) -> tuple[Replayed | None, Extra | None]:
        """None where the sink is not for it."""
        source = self.parties.sources.get(row.source)
        title = title_of(row)
        if source is None or order.sink not in chosen(self.parties, source, row.ref, title).sinks:
            return None, None
        try:
            new = delivery_of(_whole(row, source, title), self.parties.sinks[order.sink], self.clock(), self._open)
        except ArtifactLost:
            again = f"webhook-svc replay {row.id} --again --reason TEXT"
            return Replayed(
                id=row.id, ok=False, what=f"its files are no longer kept, and a zip needs them: {again}"
            ), None
        if new is None:
            return None, None
        what = f"{'would hand' if order.dry_run else 'hands'} {title or row.ref.id} on to {order.sink}"
        extra = Extra(signing_id=row.id, source=row.source, version=row.version, title=title, delivery=new)
        return Replayed(id=row.id, ok=True, what=what), extra

    def _open(self, part: Part) -> BinaryIO:
        return self.vault.open(Artifact(sha256=part.sha256, size=part.size))


def _whole(row: SigningRow, source: Source, title: str) -> Bundle:
    """All parts of the version, whatever bundle they went out with."""
    parts = in_order(tuple(one.part for one in row.parts), source.parts)
    kinds = {part.kind for part in parts}
    return Bundle(
        source=row.source,
        signing_id=row.id,
        ref=row.ref,
        title=title,
        completed=row.ref.completed or row.created,
        version=row.version,
        supplement=0,
        parts=parts,
        missing=tuple(kind for kind in source.parts if kind not in (*kinds, CALLBACK)),
    )

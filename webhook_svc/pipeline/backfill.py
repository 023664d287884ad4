"""Hands on to a sink what was fetched before it was there: as today's routes would send it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from ..core.asking import Backfill, Replayed
from ..core.errors import ArtifactLost
from ..core.ports import Clock, Vault
from ..core.store import Store
from ..core.types import Artifact, Part
from ..core.work import Extra, SigningRow
from .bundle import Bundle, delivery_of
from .parties import Parties, Source
from .routes import chosen, recalled
from .versions import can_be_had, in_order, title_of

_STATES: Final = {
    "fetching": "it is on its way: its fetch hands it on",
    "held": "it is held for a decision, which comes first",
    "dead": "its fetch was given up: replay that first",
}


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
                if told and extra and not order.dry_run and extra.delivery.id not in made:
                    told = replace(told, ok=False, what="it was on its way meanwhile: ask again")
                if told:
                    yield told

    def _one(self, row: SigningRow, order: Backfill) -> tuple[Replayed | None, Extra | None]:
        """None where the sink is not for it."""
        source = self.parties.sources.get(row.source)
        if source is None:
            return None, None
        ref, title = recalled(self.parties, source, self.store, row.id, row.ref), title_of(row)
        if order.sink not in chosen(self.parties, source, ref, title).sinks:
            return None, None
        if row.state not in ("complete", "partial"):
            return Replayed(id=row.id, ok=row.state == "fetching", what=_STATES[row.state]), None
        try:
            bundle = self._whole(row, source, title)
            new = delivery_of(bundle, self.parties.sinks[order.sink], self.clock(), self._open)
        except ArtifactLost:
            what = f"a zip needs its files, which are not kept here any more: replay {row.id} --again fetches them"
            return Replayed(id=row.id, ok=False, what=what), None
        if new is None:
            return None, None
        what = f"{'would hand' if order.dry_run else 'hands'} {title or row.ref.id} on to {order.sink}"
        extra = Extra(signing_id=row.id, source=row.source, version=row.version, title=title, delivery=new)
        return Replayed(id=row.id, ok=True, what=what), extra

    def _whole(self, row: SigningRow, source: Source, title: str) -> Bundle:
        """All parts of the version, whatever bundle they went out with. What nobody can get a second time, and is not
        kept any more, is missing."""
        kept = tuple(part for part in (one.part for one in row.parts) if can_be_had(part, self.vault))
        return Bundle(
            source=row.source,
            signing_id=row.id,
            ref=recalled(self.parties, source, self.store, row.id, row.ref),
            title=title,
            completed=row.ref.completed or row.created,
            version=row.version,
            supplement=0,
            parts=in_order(kept, source.parts),
            missing=tuple(kind for kind in source.parts if kind not in {part.kind for part in kept}),
        )

    def _open(self, part: Part) -> BinaryIO:
        return self.vault.open(Artifact(sha256=part.sha256, size=part.size))

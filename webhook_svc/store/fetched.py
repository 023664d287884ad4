"""What fetches brought: parts, the deliveries that go out now, and where their signings stand after that."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..core.ids import storable
from ..core.outcomes import Fetched, Settlement
from ..core.routing import facts_in
from ..core.types import Job, Part, Stage, sink_lane
from ..core.work import DeliveryRow, Extra, NewDelivery
from .accept import REQUEUE_INTERVAL
from .codec import dump, load_ref
from .deliveries import insert_deliveries
from .engine import Tx
from .jobs import finish, insert_jobs, insert_running, new_job, start_over, wait
from .prepared import Prepared, PreparedEach, Row, given, inserting
from .signings import add_or_revive, first_with, round_key, signing_key, wake_deliveries
from .tables import part, signing

_TAKEN = Prepared(
    sa.select(sa.func.count().label("parts")).where(
        part.c.signing_id == given("which"), part.c.version == given("of_version")
    )
)
_INSERT_PARTS = inserting(
    part, "signing_id", "version", "position", "kind", "name", "sha256", "size", "content_type", "supplement"
)
_SEND_PART = Prepared(
    part.update()
    .where(
        part.c.signing_id == given("which"),
        part.c.version == given("of_version"),
        part.c.supplement.is_(None),
        part.c.kind == given("of_kind"),
        part.c.name == given("named"),
    )
    .values(supplement=given("bundle"))
)
_CHANGED = ("state", "reason", "fetched", "version", "supplements", "lacking", "title", "updated")
_UPDATE = PreparedEach(
    {"which": signing.c.id, **{f"new_{name}": signing.c[name] for name in _CHANGED}},
    lambda row, _: (
        signing.update()
        .where(signing.c.id == row.which)
        .values({**{name: getattr(row, f"new_{name}") for name in _CHANGED}, "released": False})
    ),
)


@dataclass(frozen=True, slots=True)
class Catch:
    """A fetch that ended, its signing as it is locked, and whether a copy of its event came while it ran."""

    item: Settlement
    outcome: Fetched
    row: Row
    recalled: bool

    @property
    def same(self) -> bool:
        """Does it add to the version that is there?"""
        return bool(self.outcome.version == self.row.version)

    @property
    def closes(self) -> bool:
        """There rightly was nothing, be it of its own or of a document that it leads to."""
        return not self.outcome.version and not self.outcome.more

    @property
    def served(self) -> int:
        """How much of `wanted` this fetch serves. The first that brought all there is serves whatever was asked for
        meanwhile: most providers send several events at once when a signing completes. A later one may have been
        asked for by a delivery that lost its bytes, or have told what a route looks at."""
        all_of_it = self.row.version == 0 and not self.outcome.lacking and self.row.change <= self.outcome.wanted
        return int(self.row.wanted) if all_of_it and not self._news else self.outcome.wanted

    @property
    def _news(self) -> bool:
        """Did another event tell routes something while this fetch ran?"""
        if self.outcome.hints is None or self.row.wanted == self.outcome.wanted:
            return False
        return facts_in(load_ref(self.row.ref).hints) != facts_in(self.outcome.hints)

    @property
    def look(self) -> float | None:
        """Seconds until the next look."""
        return REQUEUE_INTERVAL if self.closes and self.recalled else self.outcome.look_again


def settle_fetched(tx: Tx, caught: Sequence[Catch]) -> dict[str, tuple[Job, ...]]:
    """By fetch job, the deliveries that its worker takes along, as far as it has free slots for them."""
    caught = [_or_another_rounds(tx, one) for one in caught]
    _insert_parts(tx, caught)
    kept = _insert_deliveries(tx, caught)
    _UPDATE.run(tx.driver, [_changes(tx, one) for one in caught])
    for one in caught:
        for ref in sorted(one.outcome.more, key=lambda ref: signing_key(one.row.source, ref)):
            add_or_revive(tx, one.row.source, ref)
        if one.row.version:
            wake_deliveries(tx, one.row.id)
    _end_jobs(tx, caught)
    return kept


def _or_another_rounds(tx: Tx, one: Catch) -> Catch:
    """A made-up round, one that the provider's list told of, or one whose bytes were replaced before they were fetched:
    what another round brought already is not handed on again. One that has a version of its own is none of these:
    a change that was announced goes out, whatever it became."""
    row, outcome = one.row, one.outcome
    first = outcome.content and first_with(tx, row.id, outcome.content)
    if first and not row.version:
        outcome = Fetched(
            wanted=outcome.wanted,
            version=row.version,
            title=outcome.title,
            more=outcome.more,
            also=outcome.also,
            note=f"its document is byte for byte that of {first}: nothing new",
        )
    for name in outcome.also:
        first_with(tx, row.id, round_key(row.source, load_ref(row.ref).id, name))
    return Catch(one.item, outcome, row, one.recalled)


def _changes(tx: Tx, one: Catch) -> dict[str, Any]:
    outcome, row = one.outcome, one.row
    again = one.look is not None or row.wanted > one.served
    bundled = bool(outcome.deliveries or outcome.settled)
    state = "partial" if outcome.lacking else "complete"
    return {
        "which": row.id,
        "new_state": "fetching" if again else "held" if outcome.held else state,
        "new_reason": storable(outcome.held or (outcome.note if one.closes else "")),
        "new_fetched": one.served,
        "new_version": outcome.version,
        "new_supplements": (row.supplements if one.same else 0) + bundled,
        "new_lacking": dump(outcome.lacking),
        "new_title": storable(outcome.title),
        "new_updated": tx.now,
    }


def _end_jobs(tx: Tx, caught: Sequence[Catch]) -> None:
    ended: list[Job] = []
    for one in caught:
        job = one.item.job
        if one.row.wanted > one.served:
            start_over(tx, job)
        elif one.look is not None:
            wait(tx, job, one.look, tries=0, waits=job.waits + 1)
        else:
            ended.append(job)
    finish(tx, ended)


# --- parts --------------------------------------------------------------------------------------------------------


def _insert_parts(tx: Tx, caught: Sequence[Catch]) -> None:
    """New parts of the version; those that go out now carry the number of their bundle, earlier ones get it too."""
    rows: list[dict[str, Any]] = []
    for one in caught:
        outcome, signing_id = one.outcome, one.row.id
        sent = _sent(one)
        taken = 0
        if one.same and outcome.version:
            taken = _TAKEN.one(tx.driver, which=signing_id, of_version=outcome.version).parts
            for (kind, name), bundle in sent.items():
                _SEND_PART.run(
                    tx.driver, which=signing_id, of_version=outcome.version, of_kind=kind, named=name, bundle=bundle
                )
        rows += [
            _part_row(each, signing_id, outcome.version, position, sent)
            for position, each in enumerate(outcome.parts, taken)
        ]
    _INSERT_PARTS.run(tx.driver, rows)


def _sent(one: Catch) -> dict[tuple[str, str], int]:
    """Kind and name of what is handed on now, and the number of its bundle."""
    outcome = one.outcome
    number = one.row.supplements if one.same else 0
    sent = {(each.kind, each.name): number for each in outcome.settled}
    return sent | {
        (each.kind, each.name): new.supplement for new in outcome.deliveries for each in new.members or new.parts
    }


def _part_row(
    one: Part, signing_id: str, version: int, position: int, sent: Mapping[tuple[str, str], int]
) -> dict[str, Any]:
    return {
        "signing_id": signing_id,
        "version": version,
        "position": position,
        "kind": one.kind,
        "name": storable(one.name, 400),
        "sha256": bytes.fromhex(one.sha256),
        "size": one.size,
        "content_type": storable(one.content_type, 200),
        "supplement": sent.get((one.kind, one.name)),
    }


# --- deliveries ---------------------------------------------------------------------------------------------------


def _insert_deliveries(tx: Tx, caught: Sequence[Catch]) -> dict[str, tuple[Job, ...]]:
    inserted = insert_deliveries(tx, [_extra(one, new) for one in caught for new in one.outcome.deliveries])
    kept: dict[str, tuple[Job, ...]] = {}
    running: list[tuple[Job, str]] = []
    waiting: list[tuple[str, str, str]] = []
    for one in caught:
        item = one.item
        free = Counter(item.keep)
        mine: list[Job] = []
        for new in one.outcome.deliveries:
            place = sink_lane(new.sink), new.id
            if new.id in inserted and free[place[0]] > 0:
                free[place[0]] -= 1
                mine.append(new_job(tx, Stage.DELIVER, place, item.lease, _as_row(one, new)))
            elif new.id in inserted:
                waiting.append((*place, one.row.source))
        kept[item.job.id] = tuple(mine)
        running += [(job, item.worker) for job in mine]
    insert_running(tx, running)
    insert_jobs(tx, Stage.DELIVER, waiting)
    return kept


def _extra(one: Catch, new: NewDelivery) -> Extra:
    outcome, row = one.outcome, one.row
    return Extra(signing_id=row.id, source=row.source, version=outcome.version, title=outcome.title, delivery=new)


def _as_row(one: Catch, new: NewDelivery) -> DeliveryRow:
    return DeliveryRow(
        id=new.id,
        signing_id=one.row.id,
        source=one.row.source,
        sink=new.sink,
        ref=load_ref(one.row.ref),
        title=one.outcome.title,
        version=one.outcome.version,
        supplement=new.supplement,
        state="waiting",
        parts=new.parts,
        paths=new.paths,
        manifest=new.manifest,
        manifest_path=new.manifest_path,
        missing=new.missing,
        members=new.members,
        progress={},
    )

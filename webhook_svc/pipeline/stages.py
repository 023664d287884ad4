"""The three stages: a claimed job in, its outcome out. Whatever is raised, `run` turns into a fate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from ..core.errors import ArtifactLost, ClaimLost, Held, Ignored, NotReady, Permanent, Retryable
from ..core.outcomes import Closed, Delivered, Fetched, Outcome, Parsed
from ..core.ports import Clock, Fetcher, Vault
from ..core.retry import RetryPolicy
from ..core.store import Store
from ..core.types import (
    CALLBACK,
    DOCUMENT,
    Artifact,
    Delivery,
    DocumentRef,
    Job,
    Meaning,
    Part,
    Placed,
    SourceEvent,
    Stage,
)
from ..core.work import DeliveryRow, EventRow, Haul, NewDelivery, SigningRow
from .bundle import Bundle, delivery_of, named_apart, opening
from .evidence import callback
from .pack import ZIP
from .parties import Parties, Source, Target
from .routes import astray, chosen, inherited, noted, recalled
from .versions import Plan, can_be_had, compared, content, in_order, plan, still_known, title_of

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    parties: Parties
    store: Store
    vault: Vault
    fetcher: Fetcher
    policy: RetryPolicy
    clock: Clock

    def run(self, job: Job) -> Outcome:
        return {Stage.PARSE: self.parse, Stage.FETCH: self.fetch, Stage.DELIVER: self.deliver}[job.stage](job)

    # --- parse ----------------------------------------------------------------------------------------------------

    def parse(self, job: Job) -> Outcome:
        row = job.row if isinstance(job.row, EventRow) else self.store.event(job.ref)
        source = self._source(row.source)
        if row.listed is not None:
            return Parsed(type="listed", sender_id="", documents=((row.listed, Meaning.READY),))
        try:
            events = source.provider.parse(row.request)
        except Ignored as reason:
            return Closed(type="", sender_id="", reason=str(reason))
        except ValueError as error:
            raise Permanent(f"the callback was not understood: {error}") from error
        return _said(noted(self.parties, source, row.request, events))

    # --- fetch ----------------------------------------------------------------------------------------------------

    def fetch(self, job: Job) -> Outcome:
        row = job.row if isinstance(job.row, SigningRow) else self.store.signing(job.ref)
        source = self._source(row.source)
        planned = plan(row, source, self.vault)
        if not planned.kinds:
            return self._bundled(job, row, source, row.version, (), Haul())
        try:
            haul, note = self._haul(row, source, planned)
        except Ignored as end:
            if row.version == 0:
                return _without_document(row, str(end), ())
            return replace(self._bundled(job, row, source, row.version, (), Haul()), note=str(end))
        if not any(part.kind == DOCUMENT for part in (*haul.parts, *still_known(row, planned))):
            lacking = [one.reason for one in haul.lacking if one.part == DOCUMENT]
            if lacking or not haul.more:
                raise NotReady(lacking[0] if lacking else "no document was served")
            why = "it stands for other documents, each of which is fetched"
            more = tuple(inherited(row.ref, one) for one in haul.more)
            return _without_document(row, "; ".join((why, *haul.warnings)), more)
        version, fresh = compared(row, planned, haul)
        fetched = self._bundled(job, row, source, version, fresh, haul)
        return replace(
            fetched,
            note="; ".join((*filter(None, (note,)), *haul.warnings)),
            content=content(row, fresh),
            also=haul.also,
        )

    def _haul(self, row: SigningRow, source: Source, plan: Plan) -> tuple[Haul, str]:
        """What the provider serves, and what went wrong where that matters to nobody but the parts still lacking:
        their trouble never keeps the document that we have from going out."""
        kinds = tuple(kind for kind in plan.kinds if kind != CALLBACK)
        own = callback(self.store, self.vault, row, plan) if kinds != plan.kinds else ()
        if not kinds:
            return Haul(parts=own), ""
        try:
            ref = replace(row.ref, parts=kinds)
            haul = self.fetcher.fetch(source.provider, source.http, ref, check=not row.released)
        except (NotReady, Retryable, Permanent) as error:
            if plan.renew or plan.lost or isinstance(error, Held):
                raise
            return Haul(parts=own), str(error)
        return replace(haul, parts=(*haul.parts, *own)), ""

    def _bundled(
        self, job: Job, row: SigningRow, source: Source, version: int, fresh: tuple[Part, ...], haul: Haul
    ) -> Fetched:
        """What the version holds now, and what of it goes out: to each sink what it lacks."""
        row = row if version == row.version else replace(row, parts=(), sent=(), supplements=0)
        fresh = named_apart(fresh, {one.part.name for one in row.parts})
        parts = in_order((*(one.part for one in row.parts), *fresh), source.parts)
        lacking = tuple(kind for kind in source.parts if kind not in (*(part.kind for part in parts), CALLBACK))
        bundle = Bundle(
            source=row.source,
            signing_id=row.id,
            ref=recalled(self.parties, source, self.store, row.id, row.ref),
            title=title_of(row, fresh),
            completed=row.ref.completed or row.created,
            version=version,
            supplement=row.supplements,
            parts=parts,
            missing=lacking,
        )
        look, waiting = self._looks(job, row, source, bundle)
        sinks = chosen(self.parties, source, bundle.ref, bundle.title).sinks
        unsent = (*(one.part for one in row.parts if one.supplement is None), *fresh)
        nowhere = astray(self.parties, source) if unsent and not sinks and not waiting else ""
        return Fetched(
            wanted=row.wanted,
            version=version,
            title=bundle.title,
            parts=fresh,
            deliveries=() if waiting else self._deliveries(bundle, row, sinks),
            lacking=lacking,
            look_again=None if nowhere else look,
            more=tuple(inherited(bundle.ref, one) for one in haul.more),
            settled=unsent if sinks and not waiting else (),
            held=nowhere,
            hints=row.ref.hints,
        )

    def _looks(self, job: Job, row: SigningRow, source: Source, bundle: Bundle) -> tuple[float | None, bool]:
        """Seconds until the next look for what is lacking, and whether the bundle waits for it."""
        now = self.clock()
        look = self.policy.next_look(job.waits + 1, now - job.created, None, _steady) if bundle.missing else None
        patience = row.created + source.wait_for_parts - now  # no later event makes the first bundle wait longer
        if look is None or bundle.supplement or patience <= 0:
            return look, False
        return min(look, patience), True

    def _deliveries(self, bundle: Bundle, row: SigningRow, sinks: Sequence[str]) -> tuple[NewDelivery, ...]:
        """A supplement also goes where its bundle went, whatever the routes say now."""
        went: dict[str, set[tuple[str, str]]] = {name: set() for name in sinks}
        for one in row.sent:
            went.setdefault(one.sink, set()).update(one.contents)
        gone = [one.part for one in row.parts if one.supplement is not None and not can_be_had(one.part, self.vault)]
        parts = [part for part in bundle.parts if part not in gone]
        now, made = self.clock(), []
        for name, contents in went.items():
            lacking = tuple(part for part in parts if (part.kind, part.name) not in contents)
            if lacking and name in self.parties.sinks:
                made.append(self._delivery_of(replace(bundle, parts=lacking), self.parties.sinks[name], now))
        return tuple(filter(None, made))

    def _delivery_of(self, bundle: Bundle, target: Target, now: float) -> NewDelivery | None:
        try:
            return delivery_of(bundle, target, now, self._open)
        except ArtifactLost as error:
            for part in bundle.parts:
                self._forget_if_damaged(part)
            raise Retryable(f"{error}: it is fetched again") from error

    def _forget_if_damaged(self, part: Part) -> None:
        try:
            with self._open(part) as stream:
                while stream.read(_CHUNK):
                    pass
        except ArtifactLost:
            self.vault.discard(part.sha256)

    def _open(self, part: Part) -> BinaryIO:
        return self.vault.open(Artifact(sha256=part.sha256, size=part.size))

    def _path(self, part: Part) -> Path | None:
        return None if part.kind == ZIP else self.vault.path(Artifact(sha256=part.sha256, size=part.size))

    # --- deliver --------------------------------------------------------------------------------------------------

    def deliver(self, job: Job) -> Outcome:
        row = job.row if isinstance(job.row, DeliveryRow) else self.store.delivery(job.ref)
        target = self.parties.sinks.get(row.sink)
        if target is None:
            raise Permanent(f"the sink {row.sink!r} is no longer configured")
        _judge_sizes(row, target.sink.max_bytes)
        return Delivered(receipt=target.sink.deliver(self._delivery(job, row), _Memory(self.store, job, row)))

    def _delivery(self, job: Job, row: DeliveryRow) -> Delivery:
        def still_ours() -> None:
            if not self.store.holds(job):
                raise ClaimLost

        return Delivery(
            id=row.id,
            source=row.source,
            sink=row.sink,
            document=row.ref.id,
            round=row.ref.round,
            version=row.version,
            supplement=row.supplement,
            title=row.title,
            completed=row.ref.completed,
            files=tuple(Placed(part=part, path=path) for part, path in zip(row.parts, row.paths, strict=True)),
            missing=row.missing,
            manifest=row.manifest,
            manifest_path=row.manifest_path,
            open=opening(row, self._open),
            path=self._path,
            still_ours=still_ours,
        )

    def _source(self, name: str) -> Source:
        try:
            return self.parties.sources[name]
        except KeyError:
            raise Permanent(f"the source {name!r} is no longer configured") from None


class _Memory:
    """A sink's progress: read once, written through, and what was saved is what is loaded from then on."""

    def __init__(self, store: Store, job: Job, row: DeliveryRow) -> None:
        self._store = store
        self._job = job
        self._state = row.progress

    def load(self) -> Mapping[str, Any]:
        return self._state

    def save(self, state: Mapping[str, Any]) -> None:
        self._store.save_progress(self._job, state)
        self._state = dict(state)


def _judge_sizes(row: DeliveryRow, most: int | None) -> None:
    for part in row.parts:
        if most is not None and part.size > most:
            raise Permanent(f"{part.name} has {part.size} bytes; such a sink takes files of {most} at most")


def _said(events: list[SourceEvent]) -> Outcome:
    """What a callback asks for, over all its statements: documents first, else the end of signings, else nothing."""
    wanted = tuple(
        (ref, event.meaning)
        for event in events
        if event.meaning in (Meaning.READY, Meaning.CHANGED)
        for ref in event.documents
    )
    kind = ", ".join(dict.fromkeys(event.type for event in events))
    sender_id = next((event.id for event in events if event.id), "")
    if wanted:
        return Parsed(type=kind, sender_id=sender_id, documents=wanted)
    ended = tuple(ref for event in events if event.meaning is Meaning.TERMINAL for ref in event.documents)
    if any(event.meaning in (Meaning.READY, Meaning.CHANGED) for event in events):
        reason = "it names no document"
    elif ended:
        reason = f"{kind}: the signing ended without a document"
    else:
        reason = f"{kind or 'the callback'} asks for nothing"
    return Closed(type=kind, sender_id=sender_id, reason=reason, concerns=ended)


def _without_document(row: SigningRow, why: str, more: tuple[DocumentRef, ...]) -> Fetched:
    """Rightly nothing to hand on."""
    return Fetched(wanted=row.wanted, version=row.version, title=row.ref.name, note=why, more=more)


def _steady() -> float:
    return 0.0

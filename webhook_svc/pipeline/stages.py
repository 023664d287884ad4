"""The three stages: a claimed job in, its outcome out. Whatever is raised, `run` turns into a fate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import ClaimLost, Held, Ignored, NotReady, Permanent, Retryable
from ..core.ids import digest
from ..core.ports import Clock, Fetcher, Vault
from ..core.retry import RetryPolicy
from ..core.store import Store
from ..core.types import (
    AUDIT,
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
from ..core.work import (
    Closed,
    Delivered,
    DeliveryRow,
    EventRow,
    Fetched,
    Haul,
    Outcome,
    Parsed,
    SigningRow,
)
from .bundle import Bundle, delivery_of, named_apart
from .parties import Parties, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The kinds of parts to fetch: all of them for a new version, else `lost` and missing ones."""

    kinds: tuple[str, ...]
    renew: bool
    lost: frozenset[str] = frozenset()


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
        return _said(events)

    # --- fetch ----------------------------------------------------------------------------------------------------

    def fetch(self, job: Job) -> Outcome:
        row = job.row if isinstance(job.row, SigningRow) else self.store.signing(job.ref)
        source = self._source(row.source)
        plan = _plan(row, source, self.vault)
        if not plan.kinds:
            return self._bundled(job, row, source, row.version, (), Haul())
        try:
            haul, note = self._haul(row, source, plan)
        except Ignored as end:
            if row.version == 0:
                return _without_document(row, str(end), ())
            return replace(self._bundled(job, row, source, row.version, (), Haul()), note=str(end))
        if not any(part.kind == DOCUMENT for part in (*haul.parts, *_known(row, plan))):
            lacking = [one.reason for one in haul.lacking if one.part == DOCUMENT]
            if lacking or not haul.more:
                raise NotReady(lacking[0] if lacking else "no document was served")
            why = "it stands for other documents, each of which is fetched"
            return _without_document(row, "; ".join((why, *haul.warnings)), haul.more)
        version, fresh = _compared(row, plan, haul)
        fetched = self._bundled(job, row, source, version, fresh, haul)
        return replace(
            fetched,
            note="; ".join((*filter(None, (note,)), *haul.warnings)),
            content=_content(row, fresh),
            also=haul.also,
        )

    def _haul(self, row: SigningRow, source: Source, plan: _Plan) -> tuple[Haul, str]:
        """What the provider serves, and what went wrong where that matters to nobody but the parts still lacking:
        their trouble never keeps the document that we have from going out."""
        ref = replace(row.ref, parts=plan.kinds)
        try:
            return self.fetcher.fetch(source.provider, source.http, ref, check=not row.released), ""
        except (NotReady, Retryable, Permanent) as error:
            if plan.renew or plan.lost or isinstance(error, Held):
                raise
            return Haul(), str(error)

    def _bundled(
        self, job: Job, row: SigningRow, source: Source, version: int, fresh: tuple[Part, ...], haul: Haul
    ) -> Fetched:
        """What the version holds now, and what of it goes out."""
        same = version == row.version
        held = tuple(one for one in row.parts if same)
        fresh = named_apart(fresh, {one.part.name for one in held})
        kinds = {one.part.kind for one in held} | {part.kind for part in fresh}
        lacking = tuple(kind for kind in source.parts if kind not in kinds)
        unsent = _in_order(tuple(one.part for one in held if one.supplement is None) + fresh, source.parts)
        supplement = row.supplements if same else 0
        now = self.clock()
        look = self.policy.next_look(job.waits + 1, now - job.created, None, _steady) if lacking else None
        patience = row.created + source.wait_for_parts - now  # no later event makes the first bundle wait longer
        waiting = look is not None and supplement == 0 and patience > 0
        if waiting and look is not None:
            look = min(look, patience)
        documents = [part.name for part in (*(one.part for one in held), *fresh) if part.kind == DOCUMENT]
        title = row.ref.name or _stem(documents[0] if documents else "")
        bundle = Bundle(
            source=row.source,
            signing_id=row.id,
            ref=row.ref,
            title=title,
            completed=row.ref.completed or row.created,
            version=version,
            supplement=supplement,
            parts=unsent,
            missing=lacking,
        )
        targets = [self.parties.sinks[name] for name in source.sinks if name in self.parties.sinks]
        return Fetched(
            wanted=row.wanted,
            version=version,
            title=title,
            parts=fresh,
            deliveries=tuple(delivery_of(bundle, target, now) for target in targets if unsent and not waiting),
            lacking=lacking,
            look_again=look,
            more=haul.more,
        )

    # --- deliver --------------------------------------------------------------------------------------------------

    def deliver(self, job: Job) -> Outcome:
        row = job.row if isinstance(job.row, DeliveryRow) else self.store.delivery(job.ref)
        target = self.parties.sinks.get(row.sink)
        if target is None:
            raise Permanent(f"the sink {row.sink!r} is no longer configured")
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
            open=lambda part: self.vault.open(Artifact(sha256=part.sha256, size=part.size)),
            path=lambda part: self.vault.path(Artifact(sha256=part.sha256, size=part.size)),
            still_ours=still_ours,
        )

    def _source(self, name: str) -> Source:
        try:
            return self.parties.sources[name]
        except KeyError:
            raise Permanent(f"the source {name!r} is no longer configured") from None


@dataclass(frozen=True, slots=True)
class _Memory:
    """A sink's progress: read once, written through."""

    store: Store
    job: Job
    row: DeliveryRow

    def load(self) -> Mapping[str, Any]:
        return self.row.progress

    def save(self, state: Mapping[str, Any]) -> None:
        self.store.save_progress(self.job, state)


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


def _plan(row: SigningRow, source: Source, vault: Vault) -> _Plan:
    """A change brings everything anew; else what is missing, and what deliveries still need but the vault lost."""
    known = {one.part.kind for one in row.parts}
    needed = [one.part for one in row.parts if row.undelivered or one.supplement is None]
    lost = frozenset(part.kind for part in needed if not vault.has(part.sha256))
    if row.version == 0 or row.change > row.fetched:
        return _Plan(kinds=source.parts, renew=True, lost=lost)
    missing = tuple(kind for kind in source.parts if kind not in known)
    return _Plan(kinds=missing + tuple(sorted(lost)), renew=False, lost=lost)


def _known(row: SigningRow, plan: _Plan) -> list[Part]:
    return [] if plan.renew else [one.part for one in row.parts if one.part.kind not in plan.lost]


def _compared(row: SigningRow, plan: _Plan, haul: Haul) -> tuple[int, tuple[Part, ...]]:
    """The version that the haul belongs to, and those of its parts that are new in it.

    Other bytes are a new version where a change was announced, and a reason to hold where none was. An audit trail
    grows by being looked at: it alone makes no version, unless the one that was recorded is gone.
    """
    if row.version == 0:
        return 1, haul.parts
    known = {(one.part.kind, one.part.sha256) for one in row.parts}
    kinds = {one.part.kind for one in row.parts}
    other = [part for part in haul.parts if part.kind in kinds and (part.kind, part.sha256) not in known]
    if other and not plan.renew:
        raise Held(f"the provider now serves other bytes for {other[0].kind} than those that were fetched first")
    if any(part.kind != AUDIT or part.kind in plan.lost for part in other):
        return row.version + 1, haul.parts
    return row.version, tuple(part for part in haul.parts if part.kind not in kinds)


def _without_document(row: SigningRow, why: str, more: tuple[DocumentRef, ...]) -> Fetched:
    """Rightly nothing to hand on."""
    return Fetched(wanted=row.wanted, version=row.version, title=row.ref.name, note=why, more=more)


def _content(row: SigningRow, fresh: tuple[Part, ...]) -> bytes | None:
    """What tells whether a round is a signing of its own: its documents are not those of another round."""
    documents = sorted(part.sha256 for part in fresh if part.kind == DOCUMENT)
    return digest("content", row.source, row.ref.id, *documents) if row.ref.round and documents else None


def _in_order(parts: tuple[Part, ...], kinds: tuple[str, ...]) -> tuple[Part, ...]:
    """As the source lists its kinds, so that the document comes first wherever a bundle is shown."""
    return tuple(sorted(parts, key=lambda part: kinds.index(part.kind) if part.kind in kinds else len(kinds)))


def _stem(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot and len(ending) <= 5 else name


def _steady() -> float:
    return 0.0

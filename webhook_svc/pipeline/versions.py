"""Which parts a fetch is for, and which version of its signing it makes of what it brought."""

from dataclasses import dataclass

from ..core.errors import Held
from ..core.ids import digest
from ..core.ports import Vault
from ..core.types import AUDIT, CALLBACK, DOCUMENT, Part
from ..core.work import Haul, SigningRow
from .parties import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The kinds of parts to fetch: all of them for a new version, else `lost` and missing ones."""

    kinds: tuple[str, ...]
    renew: bool
    lost: frozenset[str] = frozenset()


def plan(row: SigningRow, source: Source, vault: Vault) -> Plan:
    """A change brings everything anew; else what is missing, and what deliveries still need but the vault lost."""
    known = {one.part.kind for one in row.parts}
    waited_for = {content for sent in row.sent if sent.waiting for content in sent.contents}
    needed = [one.part for one in row.parts if one.supplement is None or (one.part.kind, one.part.name) in waited_for]
    lost = frozenset(part.kind for part in needed if not vault.has(part.sha256))
    if row.version == 0 or row.change > row.fetched:
        return Plan(kinds=source.parts, renew=True, lost=lost)
    missing = tuple(kind for kind in source.parts if kind not in known)
    return Plan(kinds=missing + tuple(sorted(lost)), renew=False, lost=lost)


def can_be_had(part: Part, vault: Vault) -> bool:
    """A document is fetched once more where the vault has it no longer; an audit trail would be another by now, and
    nobody calls twice."""
    return part.kind not in (AUDIT, CALLBACK) or vault.has(part.sha256)


def still_known(row: SigningRow, plan: Plan) -> list[Part]:
    """The parts that the fetch is not for."""
    return [] if plan.renew else [one.part for one in row.parts if one.part.kind not in plan.lost]


def compared(row: SigningRow, plan: Plan, haul: Haul) -> tuple[int, tuple[Part, ...]]:
    """The version that the haul belongs to, and those of its parts that are new in it.

    Other bytes are a new version where a change was announced, and a reason to hold where none was. An audit trail
    grows by being looked at, and every callback is another: they alone make no version, unless the one that was
    recorded is gone.
    """
    if row.version == 0:
        return 1, haul.parts
    known = {(one.part.kind, one.part.sha256) for one in row.parts}
    kinds = {one.part.kind for one in row.parts}
    other = [part for part in haul.parts if part.kind in kinds and (part.kind, part.sha256) not in known]
    if other and not plan.renew:
        raise Held(f"the provider now serves other bytes for {other[0].kind} than those that were fetched first")
    if any(part.kind not in (AUDIT, CALLBACK) or part.kind in plan.lost for part in other):
        return row.version + 1, haul.parts
    return row.version, tuple(part for part in haul.parts if part.kind not in kinds)


def content(row: SigningRow, fresh: tuple[Part, ...]) -> bytes | None:
    """What tells whether a round is a signing of its own: its documents are not those of another round."""
    documents = sorted(part.sha256 for part in fresh if part.kind == DOCUMENT)
    return digest("content", row.source, row.ref.id, *documents) if row.ref.round and documents else None


def in_order(parts: tuple[Part, ...], kinds: tuple[str, ...]) -> tuple[Part, ...]:
    """As the source lists its kinds, so that the document comes first wherever a bundle is shown."""
    return tuple(sorted(parts, key=lambda part: kinds.index(part.kind) if part.kind in kinds else len(kinds)))


def title_of(row: SigningRow, fresh: tuple[Part, ...] = ()) -> str:
    """The name of the signing, else that of its document's file, without its ending."""
    files = (*(one.part for one in row.parts), *fresh)
    return row.ref.name or _stem(next((part.name for part in files if part.kind == DOCUMENT), ""))


def _stem(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot and len(ending) <= 5 else name

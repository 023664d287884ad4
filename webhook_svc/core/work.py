"""What passes between the pipeline and the store: new events, claims, and how a job was settled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .outgoing import Lacking, Listed
from .types import DocumentRef, Job, Part, RawRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """A genuine callback on its way to disk. `key` is the 32-byte digest that makes a duplicate one.

    `verified_by` is the fingerprint of the secret; `hint` marks a callback without a real signature.
    Secrets in headers and query are fingerprints already.
    """

    id: str
    key: bytes
    source: str
    delivery_id: str
    verified_by: str
    hint: bool
    request: RawRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The event is on disk under `event_id`; `new` is False for a duplicate."""

    event_id: str
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCallback:
    """A callback that did not verify, masked, kept for a person who wonders why. `at` is known once it is kept."""

    source: str
    status: int
    reason: str
    address: str
    request: RawRequest
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a worker could take: free slots per lane, `total` over all; `idle` if it runs nothing at all.

    `suspects` is true while it is the turn of jobs that may kill their worker: else it takes one only where nothing
    else is due.
    """

    worker: str
    lanes: Mapping[str, int]
    total: int
    lease: float
    idle: bool
    suspects: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The jobs that are this worker's now; none while it must become idle for one that may kill its worker. One of a
    lane in `probing` finds out whether its party answers again."""

    jobs: tuple[Job, ...] = ()
    probing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A bundle for one sink. `paths` are rendered now and stored, in the order of `parts`. Where the one part is a zip,
    `members` are the parts in it."""

    id: str
    sink: str
    supplement: int
    parts: tuple[Part, ...]
    paths: tuple[str, ...]
    manifest: bytes
    manifest_path: str
    missing: tuple[str, ...] = ()
    members: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """A new delivery with what its row says of its signing."""

    signing_id: str
    source: str
    version: int
    title: str
    delivery: NewDelivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Haul:
    """What one run of a provider's steps brought."""

    parts: tuple[Part, ...] = ()
    lacking: tuple[Lacking, ...] = ()
    more: tuple[DocumentRef, ...] = ()
    also: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a provider's list holds, and what a person should know about it."""

    rows: tuple[Listed, ...] = ()
    warnings: tuple[str, ...] = ()


# --- reconciliation -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """How far the list of a source was read, and when it is read next.

    `due` is true where its time has come and nobody reads it. `held_by` is the worker that does ("" where none).
    """

    source: str
    mark: float
    next_at: float
    due: bool
    held_by: str
    looked: float | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A worker's right to read the list of a source alone, for `hold` seconds. The list was read up to `mark`, by the
    provider's time."""

    source: str
    worker: str
    mark: float
    hold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """How a look ended: what was listed, and what a person should know (`note`).

    `whole` if it succeeded and reached back to the mark: only then the mark moves to `newest`, the provider's time of
    the newest signing, though never back and never beyond now. The next look is due in `next_in` seconds; None: as it
    was planned before.
    """

    look: Look
    rows: tuple[Listed, ...] = ()
    whole: bool = False
    newest: float | None = None
    note: str = ""
    next_in: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What became of a look: for `new` rows events were stored, `known` counts those that somebody spoke of before.
    `ours` is False where the right to look had been lost: mark and schedule are another's."""

    new: tuple[Listed, ...] = ()
    known: int = 0
    ours: bool = True


# --- what the stages read -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """`listed` is the signing of an event that reconciliation made; a callback has none."""

    id: str
    source: str
    state: str
    hint: bool
    received: float
    request: RawRequest
    listed: DocumentRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """A part of the current version. `supplement` is the bundle it went out with, None while it has not."""

    part: Part
    version: int
    supplement: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A delivery of the current version: kind and name of what it holds. `waiting` while it is on its way."""

    sink: str
    waiting: bool
    contents: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRow:
    """A signing with the parts of its current version.

    `change` is the `wanted` of the newest event that may have changed the document; above `fetched` it is unserved.
    `released` is set when a person let a failed document check through. `supplements` counts bundles of the version.
    """

    id: str
    source: str
    ref: DocumentRef
    state: str
    wanted: int
    fetched: int
    change: int
    version: int
    released: bool
    created: float
    parts: tuple[PartRow, ...]
    supplements: int
    sent: tuple[Sent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    id: str
    signing_id: str
    source: str
    sink: str
    ref: DocumentRef
    title: str
    version: int
    supplement: int
    state: str
    parts: tuple[Part, ...]
    paths: tuple[str, ...]
    manifest: bytes
    manifest_path: str
    missing: tuple[str, ...]
    progress: Mapping[str, Any]
    members: tuple[Part, ...] = ()

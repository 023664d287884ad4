"""What passes between the pipeline and the store: new events, claims, and how a job was settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .lanes import Party, Turn
from .outgoing import Lacking, Listed
from .retry import RetryPolicy
from .types import EMPTY, DocumentRef, Job, Meaning, Part, RawRequest, Receipt


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


# --- outcomes: how one claim of a job ended -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The event speaks of these signings. Each is created, or its `wanted` raised, and fetched."""

    type: str
    sender_id: str
    documents: tuple[tuple[DocumentRef, Meaning], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The event asks for nothing. Of the signings in `concerns` it says that they ended: their fetch looks at once."""

    type: str
    sender_id: str
    reason: str
    concerns: tuple[DocumentRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one fetch brought, for `wanted` as it was read at the claim.

    `version` is the version the parts belong to and `parts` those that are new in it; `deliveries` go out now.
    `lacking` parts may still come: `look_again` is the delay until the next look, None to stop looking.
    `more` are further signings the provider named; of those that exist already the given up are fetched once more.
    `note` says what a person should know: a warning of the provider, why lacking parts were not even looked at, or why
    there is nothing to hand on. `content` is a digest of the documents, where another round of theirs may have it too:
    then nothing goes out. `also` are the rounds by which the provider's list calls what was fetched. `settled` are
    parts that count as handed on though no sink takes them. `held` says why a person has to decide where all this goes.
    """

    wanted: int
    version: int
    title: str
    parts: tuple[Part, ...] = ()
    deliveries: tuple[NewDelivery, ...] = ()
    lacking: tuple[str, ...] = ()
    look_again: float | None = None
    more: tuple[DocumentRef, ...] = ()
    note: str = ""
    content: bytes | None = None
    also: tuple[str, ...] = ()
    settled: tuple[Part, ...] = ()
    held: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Not done; next try in `delay` seconds. `waiting` is the "not ready yet" kind that burns no try, `doubtful` the
    kind that hardly passes."""

    delay: float
    waiting: bool = False
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried:
    """A dead letter; `held` if a person has to decide."""

    reason: str
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refetch:
    """A delivery found its artifacts gone: its signing is fetched again, the delivery waits for it."""

    reason: str
    delay: float = 30.0


Outcome = Parsed | Closed | Fetched | Delivered | Again | Buried | Refetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One claim of one job and how it ended.

    `error` is the class and `message` the sentence of what went wrong ("" where nothing did).
    `keep` (lane → free slots) lets the worker take deliveries of the fetched signing along without another claim.
    `party` is what it says of the provider or sink, `after` the seconds that one asked for, `retry` when to pause it.
    """

    job: Job
    outcome: Outcome
    started: float
    ended: float
    error: str = ""
    message: str = ""
    keep: Mapping[str, int] = field(default_factory=lambda: EMPTY)
    worker: str = ""
    lease: float = 60.0
    party: Party = Party.UNHEARD
    after: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """`ours` is False where the claim had been lost: only a late attempt was recorded. `kept` jobs are claimed.
    `turn` says where this paused its lane, or let it run again."""

    ours: bool
    kept: tuple[Job, ...] = ()
    turn: Turn | None = None


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
    undelivered: int


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

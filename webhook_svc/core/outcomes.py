"""How one claim of a job ended, and what its settlement says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .lanes import Party, Turn
from .retry import RetryPolicy
from .types import EMPTY, DocumentRef, Job, Meaning, Part, Receipt
from .work import NewDelivery


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
    `hints` are those that the routes looked at.
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
    hints: Mapping[str, str] | None = None


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

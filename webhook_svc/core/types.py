"""The values that travel between the rooms. All frozen; times are Unix seconds (float)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from .errors import Permanent

if TYPE_CHECKING:
    from .work import DeliveryRow, EventRow, SigningRow

EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})

DOCUMENT: Final = "document"
CERTIFICATE: Final = "certificate"
AUDIT: Final = "audit"
CALLBACK: Final = "callback"


# --- what arrives -------------------------------------------------------------------------------------------------


def parse_json(body: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """JSON from foreign bytes; ValueError is the only thing it raises (nesting and huge numbers included).

    `pairs` makes the objects, where a plain dict is not wanted.
    """
    try:
        return json.loads(body, object_pairs_hook=pairs)
    except (RecursionError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"not JSON: {_why_no_json(body, error)}") from None


def _why_no_json(body: bytes, error: Exception) -> str:
    """A sentence without a word of the body."""
    if not body.strip():
        return "it is empty"
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
        case json.JSONDecodeError(pos=position):
            return f"it goes wrong at character {position}"
    return "it holds a number that is too long"


def at_path(value: Any, path: str) -> Any:
    """The value at `/a/b/0` or `a.b.0`; None where the path leads nowhere."""
    keys = path[1:].split("/") if path.startswith("/") else path.split(".")
    for key in keys:
        if path.startswith("/"):
            key = key.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isascii() and key.isdigit() and len(key) < 9:
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """A callback exactly as it arrived. Header names are lower-case, values latin-1 text, repeats kept in order."""

    method: str = "POST"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of a header that stands once; None where it is missing or stands twice."""
        values = self.header_all(name)
        return values[0] if len(values) == 1 else None

    def header_all(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for key, value in self.headers if key == wanted]

    def json(self) -> Any:
        """The body as JSON. Raises ValueError and nothing else."""
        return parse_json(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the sender is told."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Meaning(StrEnum):
    """What a type of event asks of us."""

    READY = "ready"  # the document can be fetched
    CHANGED = "changed"  # ready, and its bytes may differ from those fetched before
    TERMINAL = "terminal"  # the signing ended without a document (declined, expired, …)
    OTHER = "other"  # nothing to do


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRef:
    """Where a signed document is: all that `Provider.steps` needs, kept as JSON between parse and fetch.

    `parts` is what this fetch should bring. `hints` are values of the callback that the steps may use.
    """

    id: str
    round: str = ""
    name: str = ""
    completed: float | None = None
    parts: tuple[str, ...] = (DOCUMENT,)
    hints: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    """One statement of a callback in our words. `id` is the sender's own event id, for people to search."""

    type: str
    meaning: Meaning
    id: str = ""
    at: float | None = None
    documents: tuple[DocumentRef, ...] = ()


# --- what we hold and hand on -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Bytes in the vault. `sha256` is hex."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a signing. `name` is a safe file name, unique in its bundle."""

    kind: str
    name: str
    sha256: str
    size: int
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A part and the path that was rendered for it when the delivery was created (relative, safe segments)."""

    part: Part
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One bundle (or supplement) for one sink: all that a sink is given.

    `manifest` is the JSON text that describes the bundle, `manifest_path` its place; sinks that store several
    objects write it last. `open(part)` streams a part from the vault and raises ArtifactLost at the end where
    its bytes are not those of `part.sha256`: a sink must not make anything visible before the end was read. A sink
    that copies files may take `path(part)`, where there is one, and compare the hash of its copy.
    `still_ours()` raises ClaimLost; a sink calls it directly before the act that cannot be undone.
    """

    id: str
    source: str
    sink: str
    document: str
    round: str = ""
    version: int = 1
    supplement: int = 0
    title: str = ""
    completed: float | None = None
    files: tuple[Placed, ...]
    missing: tuple[str, ...] = ()
    manifest: bytes
    manifest_path: str
    open: Callable[[Part], BinaryIO]
    path: Callable[[Part], Path | None] = lambda _: None
    still_ours: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the sink says.

    `location` is for people (a path, an s3:// address, a mailbox). `proof` says how the sink knows that the bytes
    arrived ("read back", "checksum accepted", "accepted by server"). `found` is true where an earlier try had
    already done it. `details` are strings, numbers and lists of them: hashes, message id, recipients.
    """

    location: str
    proof: str
    found: bool = False
    details: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


# --- work ---------------------------------------------------------------------------------------------------------


class Stage(StrEnum):
    PARSE = "parse"
    FETCH = "fetch"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A claimed row of work. `ref` is the id of its event, signing or delivery; `claim` is the fencing number.

    `row` is that event, signing or delivery as it stood at the claim, where it came along; else the stage reads it.
    """

    id: str
    lane: str
    stage: Stage
    ref: str
    claim: int
    tries: int
    waits: int = 0
    doubts: int = 0
    created: float = 0.0
    lease_until: float = 0.0
    alone: bool = False
    row: "EventRow | SigningRow | DeliveryRow | None" = field(default=None, repr=False, compare=False)


def source_lane(name: str) -> str:
    return f"source:{name}"


def sink_lane(name: str) -> str:
    return f"sink:{name}"


def lane_party(lane: str) -> str:
    """The name of the source or sink that the lane is of."""
    return lane.partition(":")[2]


def as_text(value: Any) -> str:
    """A JSON scalar as text for an id or a name; anything else is a Permanent misunderstanding."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or isinstance(value, Mapping | Sequence):
        raise Permanent(f"expected text or a number, found {type(value).__name__}")
    return str(value)

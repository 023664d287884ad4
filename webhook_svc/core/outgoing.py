"""What goes out to a provider or a destination: requests, their answers, and the steps that a download is made of."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .errors import Retryable
from .types import DOCUMENT, EMPTY, DocumentRef, parse_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A request body that is streamed: it can be opened again for every try."""

    open: Callable[[], BinaryIO]
    size: int


def json_bytes(value: Any) -> bytes:
    """As it goes out: UTF-8, what cannot be written in that (half of a surrogate pair) escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An outgoing request. `auth` holds the headers, and `auth_query` the parameters, that are credentials: they go to
    configured hosts only."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    auth: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    auth_query: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    json: Any = field(default=None, repr=False)
    body: bytes | Upload | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a request: headers lower-case, body at most 1 MiB.

    Of a `Save` that was answered with a 2xx the body is empty and `sha256`, `size` tell what was saved.
    Status 0 is an `optional` step that failed without an answer that can be used; the body says why.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    body: bytes = field(default=b"", repr=False)
    sha256: str = ""
    size: int = 0

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def content_type(self) -> str:
        """In lower case, without parameters; "" where none is named."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body as JSON; Retryable where it is not (a proxy's error page, a cut answer)."""
        try:
            return parse_json(self.body)
        except ValueError:
            raise Retryable(f"the answer (status {self.status}) is not JSON") from None

    def retry_after(self) -> float | None:
        """Seconds of a numeric `Retry-After`, else None (the date form is not used by any provider we know)."""
        value = self.headers.get("retry-after", "").strip()
        return float(value) if value.isascii() and value.isdigit() and len(value) < 8 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Ask, and be sent the Answer. Where an `optional` one fails (time-out, refused address) its status is 0."""

    request: Request
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Ask for the source's token: the body of the Answer. One in memory serves all; else `Provider.login` is run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a login brings. `lasts` is how many seconds it may be used; None: until it is refused."""

    text: str = field(repr=False)
    lasts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn:
    """Something that a person should know although the work goes on. No secret, no body, no link."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """Stream the body into the vault as a part, and be sent the Answer without its body.

    `sha256` (hex) is compared where the provider names one. `content_type` is what is announced: for
    `application/pdf` the bytes are checked to be a whole PDF. An error status is sent back as that Answer; the steps
    decide. Where an `optional` part fails otherwise (time-out, refused address, failed check), it counts as `Lacking`
    with that reason, and the Answer has status 0. An answer of one of the types in `unless` is no file, whatever its
    status: it is sent back with its body, without `sha256`. `wait` is the seconds until it is asked again where a 2xx
    says that the file is not there yet, and not when.
    """

    request: Request
    part: str = DOCUMENT
    name: str = ""
    sha256: str | None = None
    content_type: str = "application/pdf"
    optional: bool = False
    unless: tuple[str, ...] = ()
    wait: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """A part whose bytes came with the callback or an answer."""

    part: str
    content: bytes
    name: str = ""
    content_type: str = "application/pdf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A part that does not exist yet but may come later: the bundle waits for it or goes without."""

    part: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """Another document that belongs to this event: it is fetched as a signing of its own."""

    ref: DocumentRef


@dataclass(frozen=True, slots=True, kw_only=True)
class AlsoRound:
    """What is fetched now is what the provider's list calls by this round: listed, it is known."""

    round: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of the provider's list of completed signings; `completed` by the provider's own clock."""

    ref: DocumentRef
    completed: float | None = None

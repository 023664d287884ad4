"""The surfaces: what a provider, a sink, a scheme, a simulator, the store and the vault promise each other."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol, TypeVar, runtime_checkable

from .explanation import Explanation
from .outgoing import AlsoRound, Answer, Call, Inline, Lacking, Listed, Login, More, Request, Save, Token, Warn
from .settings import hosts_in
from .traits import Traits
from .types import (
    Artifact,
    Delivery,
    DocumentRef,
    RawRequest,
    Receipt,
    Reply,
    SourceEvent,
)
from .work import Haul, Listing

T = TypeVar("T")

Clock = Callable[[], float]
Step = Call | Login | Save | Inline | Lacking | More | AlsoRound | Listed | Warn
Steps = Generator[Step, Answer, None]
"""A flow of requests: `Call`, `Login` and `Save` are sent their Answer; what is sent for the others means nothing."""
Flow = Generator[Step, Answer, T]
"""A part of a provider's steps that ends in a value."""

ANSWER_LIMIT = 1024 * 1024


class Scheme(Protocol):
    """How a source proves that a callback is genuine. Pure."""

    @property
    def signs(self) -> bool:
        """False where anybody could have sent it (`alg = "none"`): the callback is then a hint."""

    @property
    def needs_proxy(self) -> bool:
        """True where a header proves something only because a proxy of ours wrote it: the source must name it."""

    def verify(self, request: RawRequest, now: float) -> str:
        """The fingerprint of the secret that verified. Raises NotGenuine, and nothing else, for every bad input."""

    def mask(self, request: RawRequest) -> RawRequest:
        """The request with every value that served as a secret replaced by its fingerprint."""


@runtime_checkable
class Explains(Protocol):
    """A scheme that can say what it saw. Of one that cannot, the reason of its refusal is all there is to tell."""

    def explain(self, request: RawRequest, now: float) -> tuple[Explanation, ...]:
        """One for each way in which a callback may prove itself here. Pure; raises nothing for bad input."""


class Provider(ABC):
    """One sender. Pure: functions of bytes and settings; the host does the I/O."""

    Settings: ClassVar[type]
    deadline: ClassVar[float] = 10.0
    """Seconds after which the sender gives up on us."""
    what: ClassVar[str] = ""
    """One sentence: whose callbacks these are. Unset: the first line of the module."""
    guide: ClassVar[str] = ""
    """Markdown: how to set the callback up at the provider, and a configuration to paste. Unset: the file `<name>.md`
    beside the module."""
    traits: ClassVar[Traits] = Traits()

    def __init__(self, source: str, settings: Any, public_url: str = "") -> None:
        self.source = source
        self.settings = settings
        self.public_url = public_url

    @abstractmethod
    def scheme(self) -> Scheme: ...

    @abstractmethod
    def parse(self, request: RawRequest) -> list[SourceEvent]:
        """What the callback says, in our words. ValueError or Permanent where it cannot be understood; Ignored is fine.

        Types that mean nothing to us are returned with Meaning.OTHER, not hidden.
        """

    def contents(self, request: RawRequest) -> list[Any]:
        """The JSON of each event that `parse` returns, in its order, or one for all: what a source's `meta` reads.
        Raises ValueError where there is none."""
        return [request.json()]

    def proves(self, path: str) -> bool:
        """Is the value there (`/a/b`) proved by the signature, so that nobody can put another into a captured
        callback?"""
        return True

    def hints(self) -> bool:
        """True where a callback may be genuine and still name another document than the sender did: it is a hint then,
        as one that nobody signed."""
        return False

    def challenge(self, request: RawRequest) -> Reply | None:
        """The answer to a handshake, None where the request is a callback."""
        return None

    def proves_handshakes(self) -> bool:
        """True where a handshake is answered only if `scheme` accepts it too."""
        return False

    def acknowledge(self, request: RawRequest) -> Reply:
        """What the sender expects to hear once the event is on disk."""
        return Reply()

    def delivery_id(self, request: RawRequest) -> str:
        """The sender's own id of this event, equal on every retry; "" if there is none. Never raises."""
        return ""

    def steps(self, ref: DocumentRef) -> Steps:
        """The requests that bring the parts in `ref.parts`. Raises the errors whose class is the fate; Ignored where
        there is nothing to bring and never will be, though nothing went wrong."""
        raise NotImplementedError(f"{type(self).__name__} has no download steps")

    def login(self) -> Flow[Token]:
        """The requests that bring a token for `Login` steps. It is kept in memory alone, and made by one at a time."""
        raise NotImplementedError(f"{type(self).__name__} needs no token")

    def completed_since(self, when: float) -> Steps:
        """The requests that list what was completed since `when` (`Listed` steps), also `Warn` steps about callbacks
        that the provider could not deliver. A list that shifts while it is read must lose nothing."""
        raise NotImplementedError(f"{type(self).__name__} has no list call")

    def polls_every(self) -> float | None:
        """Seconds between two looks at the list that the provider's rules suggest; None where there is no list."""
        return None

    def callback_query(self) -> str:
        """What the callback URL needs behind its path, as a person is shown it: `?token=<secret>`."""
        return ""

    def needs_url_token(self) -> bool:
        """True where nothing but an unguessable URL keeps strangers out: a source without `tokens` is then refused."""
        return False

    def offers(self) -> frozenset[str]:
        """The parts that this source can ever bring; nobody waits for another."""
        return frozenset(self.traits.parts)

    def hosts(self) -> frozenset[str]:
        """Origins (`scheme://host:port`) that are trusted as written and receive credentials."""
        return hosts_in(self.settings)

    def warnings(self) -> list[str]:
        """What `check` should say about these settings although they are allowed."""
        return []


class Http(Protocol):
    """The one HTTP client, already bound to the hosts that its source or sink trusts.

    Raises Retryable (time-outs, resets, DNS, certificate, a compressed answer, 5xx of a proxy in between), Permanent
    (forbidden address, too large, too many redirects) and nothing else. A status is never an error here: the caller
    reads it.
    """

    def call(self, request: Request, *, limit: int = ANSWER_LIMIT) -> Answer:
        """The whole answer. Permanent where a 2xx body is larger than `limit` bytes, if the request was a question (a
        GET); every other body is cut there, and left out where it is compressed."""

    def save(
        self, request: Request, into: Callable[[bytes], object], *, limit: int, unless: Collection[str] = ()
    ) -> Answer:
        """A 2xx body is streamed into `into` and counted in `Answer.size`; any other body comes back as in `call`, and
        so does one whose content type is in `unless`.

        Fewer bytes than Content-Length promised is Retryable.
        """


class Progress(Protocol):
    """A sink's memory between tries: at most 8 KB of JSON, durable before `save` returns."""

    def load(self) -> Mapping[str, Any]: ...

    def save(self, state: Mapping[str, Any]) -> None:
        """Raises ClaimLost where the delivery belongs to another worker now."""


class Sink(ABC):
    """One destination. Delivering twice leaves one effect, or it says (`create_only = False`) that it may not."""

    Settings: ClassVar[type]
    create_only: ClassVar[bool] = True
    carries_files: ClassVar[bool] = True
    """False where it only tells people that a document is there."""
    proof: ClassVar[str]
    """How arrival is proved, in words."""
    max_bytes: ClassVar[int | None] = None
    """The largest file it takes; None = no limit of its own. Above it nothing is begun."""
    max_path: ClassVar[int] = 1024
    """Bytes of UTF-8 that the path of a file may have; it is shortened when it is rendered."""
    guide: ClassVar[str] = ""
    """Markdown: settings, permissions it needs, what makes its retry harmless, limits."""

    def __init__(self, name: str, settings: Any, http: Http) -> None:
        self.name = name
        self.settings = settings
        self.http = http

    @abstractmethod
    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        """Raises Retryable, Permanent, Conflict, ArtifactLost or ClaimLost; NotReady, which burns no tries, where the
        place is still at work on what it took; anything else counts as retryable."""

    @abstractmethod
    def check(self) -> str:
        """One sentence on what was found to work; leaves nothing behind. Raises Retryable or Permanent."""

    def hosts(self) -> frozenset[str]:
        return hosts_in(self.settings)


class Simulator(ABC):
    """A stand-in for a provider: serves its API, signs real callbacks, misbehaves on demand."""

    provider: ClassVar[str]
    quirks: ClassVar[tuple[str, ...]]
    """Names that `misbehave` knows."""

    @abstractmethod
    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        """The provider's API as a WSGI application."""

    @abstractmethod
    def source(self, api_base: str) -> dict[str, Any]:
        """The `[sources.NAME]` table that talks to this simulator when it is served at `api_base`."""

    @abstractmethod
    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        """A signing completes (a PDF of at least `size` bytes): the signed callbacks, in the order they are sent."""

    @abstractmethod
    def document_bytes(self, document: str, part: str = "document") -> bytes:
        """What a correct download of that part yields."""

    @abstractmethod
    def misbehave(self, quirk: str, *, times: int = 1) -> None:
        """The next `times` requests or callbacks that can, show the quirk."""


class VaultWriter(Protocol):
    def write(self, chunk: bytes, /) -> object: ...

    def commit(self) -> Artifact:
        """Bytes and name are on disk (fsync of file and directory) when this returns."""


class Vault(Protocol):
    """Content-addressed bytes. OSError "no space" and the like are Retryable."""

    @property
    def shared(self) -> bool:
        """True where every worker on every machine sees the same bytes."""

    def writer(self) -> AbstractContextManager[VaultWriter]:
        """Leaving without `commit` leaves nothing behind."""

    def open(self, artifact: Artifact) -> BinaryIO:
        """Reads raise ArtifactLost where the bytes are gone or, at the end, turn out to be others."""

    def path(self, artifact: Artifact) -> Path | None:
        """Where the bytes lie as a file, if they do. Nobody has proved them: who copies it compares the hash of the
        copy, and reads through `open` what is wrong or gone."""

    def has(self, sha256: str) -> bool: ...

    def discard(self, sha256: str) -> None:
        """Gone when this returns; it need not have been there."""

    def older(self, before: float) -> Iterator[str]:
        """The hashes of all that was last stored before that Unix time."""

    def clean(self, before: float) -> int:
        """Deletes what killed writers left behind and last wrote before that Unix time. Returns how many."""


class Fetcher(Protocol):
    """Runs a provider's steps."""

    def fetch(self, provider: Provider, http: Http, ref: DocumentRef, *, check: bool = True) -> Haul:
        """The parts in the vault. `check=False` lets bytes through that are not the document they claim to be."""

    def listed(self, provider: Provider, http: Http, since: float) -> Listing:
        """What the provider says was completed since then."""

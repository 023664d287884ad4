"""What a sender can be described with: verification, handshake, events, login, download, list."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final, Literal, TypeVar

from ..core.flow import EventTypes
from ..core.settings import setting
from ..signing.reading import Place
from ..signing.verify import VerifySettings
from .asked import TOKEN, Asked, check_asked, check_header, check_path
from .steps import OF_THE_DOCUMENT, DownloadStep, check_steps

T = TypeVar("T", bound=Asked)

OF_A_DIGEST: Final = ("nonce", "created", "digest")
"""Names that the templates of a login with `wsse` may use."""

OF_THE_LIST: Final = ("source", "since", "page", "offset", "cursor")
"""Names that the templates of a list call may use beside the configured values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings(EventTypes):
    """Where a callback says what. Of the lists only those types count that are written into them."""

    each: str = setting("path of a list of events in one callback; `/`: the body is the list", "")
    id: str = setting("path of the sender's id of this event, equal on every retry; several: '/a + /b'", "")
    type: str = setting("path of the type; unset: every callback says ready", "")
    at: str = setting("path of the time: ISO 8601 or Unix seconds", "")
    document: str = setting("path of the document's id, or of a list of them")
    round: str = setting("path of what tells the signings of one document apart", "")
    name: str = setting("path of the document's title", "")
    completed: str = setting("path of the time of completion; unset: that of the event", "")
    take: Mapping[str, str] = setting("names for values of the callback that templates may use", factory=dict)
    hide: tuple[str, ...] = setting("paths of values that are kept as fingerprints: '/signers/*/token'", ())

    def __post_init__(self) -> None:
        # Written out, because a dataclass with slots is another class than the one that super() knows here.
        EventTypes.__post_init__(self)
        if not self.document:
            raise ValueError("a path in `document`")
        for path in (self.document, self.at, self.round, self.name, self.completed, *self.take.values()):
            check_path(path, header=True)
        for path in (self.each, *self.id.split(" + "), self.type.replace("/*", "")):
            check_path(path, header=path is not self.each)
        if not all(self.hide):
            raise ValueError("paths of values in `hide`")
        if not self.type and (self.ready or self.changed or self.terminal):
            raise ValueError("a path in `type`, because types are listed")
        if self.type and not (self.ready or self.changed):
            raise ValueError("types under `ready` or `changed`, or no path in `type`: nothing would ever be fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    status: int = setting("status, from 200 to 299", 200)
    body: str = setting("text that the sender wants to read", "")
    content_type: str = setting("its type", "text/plain; charset=utf-8")
    echo: str = setting("a header of the callback that the sender wants back, such as X-AdobeSign-ClientId", "")

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 299:
            raise ValueError("a `status` from 200 to 299")
        if self.body and self.status in (204, 205):
            raise ValueError("another `status`: an answer with 204 or 205 has no body")
        check_header("Content-Type", self.content_type)
        if self.echo and Place.parse(f"header:{self.echo}").names is not None:
            raise ValueError("the name of one header in `echo`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A handshake that wants a value of the request back, or no more than a 2xx."""

    echo: str = setting("where the value stands: query:NAME, header:NAME or json:/path; unset: nothing is echoed", "")
    method: Literal["GET", "POST"] = setting("the method of the handshake", "GET")
    when: Mapping[str, str] = setting("values of the body that tell a handshake from a callback", factory=dict)
    key: str = setting("answer as JSON under this key; unset: as plain text", "")
    header: str = setting("answer in this header too", "")
    genuine: bool = setting("only a handshake that `verify` accepts is answered", False)

    def __post_init__(self) -> None:
        if self.echo:
            Place.parse(self.echo)
        if not self.echo and (self.key or self.header):
            raise ValueError("a place in `echo`: key and header say how its value is answered")
        if self.header:
            check_header(self.header, "")
        if self.method == "GET" and self.when:
            raise ValueError("`when` with POST only: a GET has no body")
        if self.method == "POST" and not self.when and not self.echo.startswith("query:"):
            raise ValueError("values under `when`: a POST may be a callback as well")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What every request has but for the login and links; a request's own keys win. A link brings its own credential,
    and the places where files lie refuse a second one."""

    headers: Mapping[str, str] = setting("headers; sent to configured hosts only", factory=dict)
    basic: str = setting("user:password, sent as Basic authentication to configured hosts only", "")
    secret_query: Mapping[str, str] = setting("parameters that are credentials: configured hosts only", factory=dict)

    def into(self, asked: T) -> T:
        """The request with it."""
        own = {name.lower() for name in asked.headers}
        return replace(
            asked,
            headers={**{name: text for name, text in self.headers.items() if name.lower() not in own}, **asked.headers},
            basic=asked.basic or ("" if "authorization" in own else self.basic),
            secret_query={**self.secret_query, **asked.secret_query},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginCall(Asked):
    """The request that brings a token; templates of the other requests find it as {token}."""

    token: str = setting("path of the token in the answer", "/access_token")
    lasts: str = setting("path of the seconds that it lasts; unset or missing: until it is refused", "/expires_in")
    wsse: str = setting(
        "the name of the secret of a WSSE digest; the login's templates then find {nonce}, {created}, {digest}", ""
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCall(Asked):
    """The request that lists completed signings. Its templates may use {since:%Y-%m-%d}, {page}, {offset}, {cursor};
    {since} alone is in Unix seconds."""

    every: float = setting("seconds between two looks that the sender's rules suggest", 1800.0)
    rows: str = setting("path of the list in the answer; `/` where the answer is the list")
    document: str = setting("path of the document's id in a row", "/id")
    round: str = setting("path of what tells the signings of one document apart", "")
    name: str = setting("path of the title in a row", "")
    take: Mapping[str, str] = setting("names for values of a row, as under event.take", factory=dict)
    completed: str = setting("path of the time of completion in a row; of several ('/signers/*/at') the latest", "")
    only: Mapping[str, Any] = setting("values that a row has; the others are left out", factory=dict)
    newest_first: bool = setting("the list is sorted by the time of completion, the newest first", False)
    total: str = setting("path of the number of rows in the whole list", "")
    pages: str = setting("path of the number of pages", "")
    first: int = setting("the number of the first page", 1)
    start: int = setting("the offset of the first row, and {cursor} of the first page", 0)
    size: int = setting("rows on a page", 50)
    cursor: str = setting("path of the next page's cursor, or address with it; the list ends where there is none", "")
    cursor_as: str = setting("the parameter that takes the cursor, where no template has {cursor}", "")

    def __post_init__(self) -> None:
        Asked.__post_init__(self)
        if bool(self.cursor) != bool(self.cursor_as or "cursor" in self.names):
            raise ValueError("cursor and cursor_as together, or cursor and a template with {cursor}")
        if self.newest_first and not self.completed:
            raise ValueError("a path in `completed`, by which the list is sorted")
        if not self.completed and "since" not in self.names:
            raise ValueError("a path in `completed`, or {since} in the request: all that ever was would be fetched")
        if not (self.cursor or {"page", "offset"} & self.names):
            raise ValueError("{page}, {offset} or a cursor: without one the list has no second page")
        if not 60 <= self.every < inf or self.size < 1 or self.first < 0 or self.start < 0:
            raise ValueError("every from 60, size from 1, first and start from 0")
        for path in (self.document, self.round, self.name, self.total, self.pages, self.cursor, *self.take.values()):
            check_path(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A sender."""

    verify: VerifySettings = setting("how a callback proves that it is genuine")
    event: EventSettings = setting("where a callback says what")
    api: Api = setting("what every request has but for the login and links", factory=Api)
    login: LoginCall | None = setting("the request that brings {token}", None)
    download: tuple[DownloadStep, ...] = setting("the requests that bring the documents, in order")
    list_: ListCall | None = setting("the request that lists what was completed", None)
    acknowledge: Acknowledge = setting("what the sender wants to hear", factory=Acknowledge)
    challenge: Challenge | None = setting("a handshake before the first callback", None)

    def __post_init__(self) -> None:
        told = {*self.event.take, *(name for step in self.download for name in step.take)}
        download = tuple(step if _is_told(step, told) else self.api.into(step) for step in self.download)
        object.__setattr__(self, "download", download)
        object.__setattr__(self, "list_", self.list_ and self.api.into(self.list_))

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Every request."""
        return tuple(one for one in (self.login, *self.download, self.list_) if one is not None)

    @property
    def parts(self) -> frozenset[str]:
        return frozenset(step.save for step in self.download if step.save)

    def check(self, values: Iterable[str]) -> None:
        """ValueError where the pieces cannot work together. `values` are the names that the operator configured."""
        own = set(values)
        token = {TOKEN} if self.login else set()
        _check_names(own, token, self.event.take)
        check_steps(self.download, own, {*self.event.take, *token})
        if self.login:
            self._check_login(self.login, own)
        if self.list_:
            check_asked(self.list_, own, {*own, *token, *OF_THE_LIST}, "list")
            _check_list(self.list_, self.event, {name for step in self.download for name in step.names})
        if self.login and TOKEN not in {name for one in (*self.download, self.list_) if one for name in one.names}:
            raise ValueError("a request that uses {token}, or no login")
        self._check_links()

    def _check_login(self, login: LoginCall, own: set[str]) -> None:
        if login.wsse and (login.wsse not in own or own & {*OF_A_DIGEST}):
            raise ValueError(f"the name of a configured value in login.wsse, and none that is {', '.join(OF_A_DIGEST)}")
        check_asked(login, own, {*own, *OF_A_DIGEST} if login.wsse else own, "login")

    def _check_links(self) -> None:
        """A callback whose words are not signed must not choose where the document comes from."""
        event = self.event
        told = {"document": event.document, "round": event.round, "name": event.name, "source": "", **event.take}
        unsigned = self.verify.alg in ("none", "equal")
        why = f"`alg = {self.verify.alg}` signs nothing" if unsigned else "the signature does not cover it"
        for number, step in enumerate(self.download, 1):
            link = step.address.whole
            if link and link.name in told and (unsigned or not self.verify.protects(told[link.name])):
                raise ValueError(
                    f"download step {number} with another address than {link}, which the callback says: "
                    f"{why}, so the sender must be asked for it"
                )

    def uncovered(self) -> list[str]:
        """The paths whose values are used although the signature does not cover them."""
        if self.verify.alg in ("none", "equal"):
            return []
        event = self.event
        used = (event.document, event.type, event.round, *event.take.values())
        return [path for path in dict.fromkeys(used) if path and not self.verify.protects(path)]


def _is_told(asked: Asked, names: Container[str]) -> bool:
    """Is its address a link that the sender tells?"""
    return asked.address.whole is not None and asked.address.whole.name in names


def _check_list(listed: ListCall, event: EventSettings, used: set[str]) -> None:
    """What the list finds must be the same signing, and be fetched in the same way, as what a callback tells."""
    if bool(listed.round) != bool(event.round):
        raise ValueError("a path in list.round as in event.round: a signing would be fetched once for each of the two")
    if lacking := sorted(set(event.take) & used - set(listed.take)):
        raise ValueError(f"{lacking[0]!r} under list.take as under event.take: a download step uses it")
    if strange := sorted(set(listed.take) - set(event.take)):
        raise ValueError(f"no {strange[0]!r} under list.take: event.take does not have it")


def _check_names(own: set[str], token: set[str], taken: Mapping[str, str]) -> None:
    if twice := sorted({*own, *token, *OF_THE_DOCUMENT, *OF_THE_LIST} & set(taken)):
        raise ValueError(f"another name for {twice[0]!r} under event.take: it has a value already")
    if twice := sorted(own & {*OF_THE_DOCUMENT, *token, *OF_THE_LIST}):
        raise ValueError(f"another name for {twice[0]!r} under values: it is taken")

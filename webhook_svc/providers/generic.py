"""A sender that nobody has written code for: verification, events and download are described in the configuration."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..core.errors import NotGenuine, Permanent
from ..core.flow import EventTypes, segment
from ..core.moment import moment
from ..core.ports import Provider, Scheme, Steps
from ..core.settings import Secret, setting
from ..core.steps import OF_THE_DOCUMENT, DownloadStep, check_steps, run, trusted_hosts
from ..core.types import DocumentRef, Meaning, RawRequest, Reply, SourceEvent, as_text, at_path
from ..signing.reading import Place, Reading, viewed_json
from ..signing.verify import Verifier, VerifySettings

_ANY_URL = "https://hooks.invalid"
_MOST_DOCUMENTS = 100

_GUIDE = """\
Describe the sender in the configuration; no code is needed. A path is `/a/b` or `a.b` into the JSON body, or
`header:NAME`. Templates may use the names under `values`, `{document}`, `{round}`, `{name}`, `{source}`, and what
`take` found. Try it with `webhook-svc verify inhouse REQUEST-FILE` before you switch it on.

```toml
[sources.inhouse]
provider = "generic"
secrets = ["${INHOUSE_SECRET}"]
sinks = ["archive"]
[sources.inhouse.values]
api_base = "https://contracts.acme.example/api"
api_key = "${INHOUSE_API_KEY}"
[sources.inhouse.verify]
alg = "hmac-sha256"
message = "{ts}.{body}"
signature = "header:X-Signature"
pattern = "v1=([0-9a-f]{64})"
vars = { ts = "header:X-Signature ~ t=(\\\\d+)" }
tolerance = 300
[sources.inhouse.event]
id = "/id"
type = "/type"
ready = ["contract.completed"]
document = "/data/contract_id"
[[sources.inhouse.download]]
get = "{api_base}/contracts/{document}"
headers = { Authorization = "Bearer {api_key}" }
expect = { "/status" = "finished" }
take = { link = "/data/url" }
[[sources.inhouse.download]]
get = "{link}"
save = "document"
```
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings(EventTypes):
    """Where a callback says what. Of the lists only those types count that are written into them."""

    id: str = setting("path of the sender's id of this event, equal on every retry", "")
    type: str = setting("path of the type; unset: every callback says ready", "")
    at: str = setting("path of the time: ISO 8601 or Unix seconds", "")
    document: str = setting("path of the document's id, or of a list of them")
    round: str = setting("path of what tells the signings of one document apart", "")
    name: str = setting("path of the document's title", "")
    completed: str = setting("path of the time of completion; unset: that of the event", "")
    take: Mapping[str, str] = setting("names for values of the callback that templates may use", factory=dict)

    def __post_init__(self) -> None:
        # Written out, because a dataclass with slots is another class than the one that super() knows here.
        EventTypes.__post_init__(self)
        if not self.document:
            raise ValueError("a path in `document`")
        if not self.type and (self.ready or self.changed or self.terminal):
            raise ValueError("a path in `type`, because types are listed")
        if self.type and not (self.ready or self.changed):
            raise ValueError("types under `ready` or `changed`, or no path in `type`: nothing would ever be fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    status: int = setting("status, from 200 to 299", 200)
    body: str = setting("text that the sender wants to read", "")
    content_type: str = setting("its type", "text/plain; charset=utf-8")

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 299:
            raise ValueError("a `status` from 200 to 299")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A handshake that wants a value of the request back."""

    echo: str = setting("where the value stands: query:NAME, header:NAME or json:/path")
    method: Literal["GET", "POST"] = setting("the method of the handshake", "GET")
    when: Mapping[str, str] = setting("values of the body that tell a handshake from a callback", factory=dict)
    key: str = setting("answer as JSON under this key; unset: as plain text", "")

    def __post_init__(self) -> None:
        Place.parse(self.echo)
        if self.method == "POST" and not self.when and not self.echo.startswith("query:"):
            raise ValueError("values under `when`: a POST may be a callback as well")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericSettings:
    secrets: tuple[Secret, ...] = setting("secrets or public keys; two during a rotation", ())
    values: Mapping[str, Secret] = setting("names that templates may use: addresses, keys, ids", factory=dict)
    verify: VerifySettings = setting("how a callback proves that it is genuine")
    event: EventSettings = setting("where a callback says what")
    download: tuple[DownloadStep, ...] = setting("the requests that bring the documents, in order")
    acknowledge: Acknowledge = setting("what the sender wants to hear", factory=Acknowledge)
    challenge: Challenge | None = setting("a handshake before the first callback", None)

    def __post_init__(self) -> None:
        Verifier(self.verify, self.secrets, _ANY_URL)
        if taken := sorted({*self.values, *OF_THE_DOCUMENT} & {*self.event.take}):
            raise ValueError(f"another name for {taken[0]!r} under event.take: it has a value already")
        if taken := sorted({*self.values} & {*OF_THE_DOCUMENT}):
            raise ValueError(f"another name for {taken[0]!r} under values: it is the document's")
        check_steps(self.download, self.values, self.event.take)
        _check_links(self)
        trusted_hosts(self.download, self.revealed)

    @property
    def revealed(self) -> dict[str, str]:
        return {name: value.reveal() for name, value in self.values.items()}


def _check_links(settings: GenericSettings) -> None:
    """A callback whose words are not signed must not choose where the document comes from."""
    told = {*OF_THE_DOCUMENT, *settings.event.take}
    for number, step in enumerate(settings.download, 1):
        link = step.address.whole
        if settings.verify.alg in ("none", "equal") and link and link.name in told:
            raise ValueError(
                f"download step {number} with another address than {link}, which the callback says: "
                f"`alg = {settings.verify.alg}` signs nothing, so the sender must be asked for it"
            )


class Generic(Provider):
    """One sender, described."""

    Settings = GenericSettings
    settings: GenericSettings
    guide: ClassVar[str] = _GUIDE

    def scheme(self) -> Scheme:
        return Verifier(self.settings.verify, self.settings.secrets, self.public_url)

    def offers(self) -> frozenset[str]:
        return frozenset(step.save for step in self.settings.download if step.save)

    def hosts(self) -> frozenset[str]:
        return trusted_hosts(self.settings.download, self.settings.revealed)

    def acknowledge(self, request: RawRequest) -> Reply:  # noqa: ARG002  the surface gives it
        told = self.settings.acknowledge
        return Reply(status=told.status, body=told.body.encode(), content_type=told.content_type)

    def challenge(self, request: RawRequest) -> Reply | None:
        asked = self.settings.challenge
        if asked is None or request.method != asked.method:
            return None
        reading, place = Reading(request, self.settings.verify.body_view), Place.parse(asked.echo)
        try:
            if any(at_path(reading.document, path) != wanted for path, wanted in asked.when.items()):
                return None
            text = reading.text(place)
            plain = place.raw(text)
        except NotGenuine:
            return None
        if asked.key:
            return Reply(body=json.dumps({asked.key: text}).encode(), content_type="application/json")
        return Reply(body=plain, headers=(("X-Content-Type-Options", "nosniff"),))

    def delivery_id(self, request: RawRequest) -> str:
        try:
            return _Callback(request, self.settings).text(self.settings.event.id)
        except (ValueError, Permanent):
            return ""

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        event, callback = self.settings.event, _Callback(request, self.settings)
        kind = callback.text(event.type)
        if event.type and not kind:
            raise ValueError("the callback names no type of event")
        meaning = event.meaning(kind) if event.type else Meaning.READY
        at = moment(callback.value(event.at))
        documents = () if meaning is Meaning.OTHER else tuple(self._documents(callback, at))
        return [SourceEvent(type=kind, meaning=meaning, id=callback.text(event.id), at=at, documents=documents)]

    def _documents(self, callback: "_Callback", at: float | None) -> list[DocumentRef]:
        event = self.settings.event
        found = callback.value(event.document)
        ids = [as_text(item) for item in (found if isinstance(found, list) else [found]) if item is not None]
        if not 0 < len(ids) <= _MOST_DOCUMENTS:
            raise ValueError(f"from 1 to {_MOST_DOCUMENTS} documents at {event.document}, found {len(ids)}")
        completed = moment(callback.value(event.completed)) if event.completed else at
        hints = {name: callback.text(path) for name, path in event.take.items()}
        name, round_ = callback.text(event.name), callback.text(event.round)
        for document in ids:
            segment(document)
        return [DocumentRef(id=document, round=round_, name=name, completed=completed, hints=hints) for document in ids]

    def warnings(self) -> list[str]:
        verify, event = self.settings.verify, self.settings.event
        if verify.alg == "none":
            return ['`alg = "none"`: anybody who knows the URL can make this source ask the sender for documents']
        if verify.alg == "equal":
            return []
        used = (event.document, event.type, event.round, *event.take.values())
        return [
            f"the signature does not cover {path}: a captured callback verifies with any other value there, "
            "so what it says must be asked of the sender"
            for path in dict.fromkeys(used)
            if path and not verify.protects(path)
        ]

    def steps(self, ref: DocumentRef) -> Steps:
        return run(self.settings.download, ref, self.source, self.settings.revealed)


class _Callback:
    """One request and the paths into it; the JSON is read only where a path asks for it."""

    def __init__(self, request: RawRequest, settings: GenericSettings) -> None:
        self._request = request
        self._view = settings.verify.body_view
        self._body: list[Any] = []

    def value(self, path: str) -> Any:
        if not path:
            return None
        if path.startswith("header:"):
            return self._request.header(path.removeprefix("header:"))
        if not self._body:
            self._body.append(viewed_json(self._request, self._view))
        return at_path(self._body[0], path)

    def text(self, path: str) -> str:
        found = self.value(path)
        return "" if found is None else as_text(found)

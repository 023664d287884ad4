"""Anvil (Etch e-sign): a token in the JSON, data that may be encrypted for us, the files of a packet in one ZIP.

Wire facts, read in November 2026 on https://www.useanvil.com: /docs/api/webhooks/ (token, retries, answers),
/docs/api/e-signatures/#downloading-documents, /docs/api/graphql/reference/, and /ask-anvil/e-signatures/ for what the
packet's callback holds. How `data` is encrypted: signing/wrapped.py. That hides it and proves nothing: the token does.

Inferred: that the callback names its packet (`data.eid`); the packet's states; `updatedAt` in the list.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Final

from ..core.errors import Ignored, NotReady, Permanent, Retryable, Unlikely
from ..core.flow import EventTypes, Fates, failure, object_in, segment, told, told_in
from ..core.links import address
from ..core.lists import Page, newest_first
from ..core.outgoing import Call, Listed, Request, Save
from ..core.payload import first_text, moment_at, object_of, objects, text_at
from ..core.ports import Flow, Provider, Scheme, Steps
from ..core.settings import Secret, Url, setting
from ..core.traits import Traits
from ..core.types import DOCUMENT, DocumentRef, RawRequest, SourceEvent, at_path, parse_json
from ..signing.outgoing.private_keys import rsa_private_key
from ..signing.verify import Verifier, VerifySettings
from ..signing.wrapped import unwrapped

# --- settings and events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """`action` of the callback."""

    ready: tuple[str, ...] = setting("the document can be fetched", ("etchPacketComplete",))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnvilSettings:
    secrets: tuple[Secret, ...] = setting("webhook token of the organisation; two while it is changed")
    api_key: Secret = setting("API key; a development key sees test packets only")
    private_key: Secret | None = setting("RSA private key, PEM, where the organisation has a key pair", None)
    confirm: bool = setting("fetch files only where Anvil calls their packet completed; false: believe the token", True)
    organization: str = setting("slug of the organisation, whose list is then read for missed packets", "")
    api_base: Url = setting("where files are", Url("https://app.useanvil.com"))
    graphql_base: Url = setting("where packets are asked for", Url("https://graphql.useanvil.com"))
    events: Events = setting("actions by what they mean", factory=Events)

    def __post_init__(self) -> None:
        if self.private_key is not None:
            rsa_private_key(self.private_key)


# --- errors -----------------------------------------------------------------------------------------------------------

_FATES: Final[Fates] = {
    401: (Permanent, "the API key is not accepted"),
    403: (Permanent, "the API key may not do this"),
    404: (Unlikely, "there is no such packet, or it is another organisation's"),
    429: (Retryable, "too many requests"),
}
_DONE: Final = "completed"
_ENDED: Final = ("declined", "voided", "expired", "archived")

# --- questions --------------------------------------------------------------------------------------------------------

_PACKET: Final = "query ($eid: String!) { etchPacket(eid: $eid) { eid name status documentGroup { eid } } }"
_LIST: Final = (
    "query ($slug: String!, $limit: Int, $offset: Int) { organization(organizationSlug: $slug) { "
    'etchPackets(status: ["completed"], limit: $limit, offset: $offset) { '
    "items { eid name status updatedAt } } } }"
)
_SIZE: Final = 50


class Anvil(Provider):
    """One organisation at Anvil."""

    Settings = AnvilSettings
    settings: AnvilSettings
    traits: ClassVar[Traits] = Traits(
        verify="the secret itself in the body",
        lists=True,
        inferred="that the callback names its packet, its states, the list by time of change",
    )
    deadline: ClassVar[float] = 5.0

    def scheme(self) -> Scheme:
        return Verifier(VerifySettings(alg="equal", signature="json:/token"), self.settings.secrets, self.public_url)

    def delivery_id(self, request: RawRequest) -> str:
        """Anvil has no id of an event: action and packet name it, of a signer's events the signer too."""
        try:
            body = object_of(request)
            data = self._data(body)
            ids = (text_at(data, path) for path in ("eid", "etchPacket.eid", "documentGroup.eid"))
            return "/".join(filter(None, (text_at(body, "action"), *ids)))
        except (ValueError, Permanent):
            return ""

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        body = object_of(request)
        return [self.settings.events.event(text_at(body, "action"), lambda: self._ref(self._data(body)))]

    def _data(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the callback is about, decrypted. ValueError where that cannot be read."""
        data = body.get("data")
        if isinstance(data, str):
            if self.settings.private_key is None:
                raise ValueError("the data is encrypted: put the organisation's private key under `private_key`")
            data = parse_json(unwrapped(data, self.settings.private_key))
        if not isinstance(data, Mapping):
            raise ValueError("the callback has no object under `data`")
        return data

    def _ref(self, data: Mapping[str, Any]) -> DocumentRef:
        """The packet. Its files are of interest only where nobody is asked for them."""
        packet, files = first_text(data, "eid", "etchPacket.eid"), first_text(data, "documentGroup.eid")
        if self.settings.confirm and not packet:
            raise ValueError("the callback names no packet that could be asked for (`confirm`)")
        if not self.settings.confirm:
            segment(files)
        hints = {} if self.settings.confirm else {"files": files}
        completed = moment_at(data, "completedAt")
        return DocumentRef(id=packet or files, name=text_at(data, "name"), completed=completed, hints=hints)

    # --- the download -------------------------------------------------------------------------------------------------

    def steps(self, ref: DocumentRef) -> Steps:
        """Before its packet is completed, Anvil serves the files as well, unsigned: hence the question first."""
        if DOCUMENT not in ref.parts:
            return
        name, files = ref.name, ref.hints.get("files", "")
        if self.settings.confirm or not files:
            packet = yield from self._asked(_PACKET, "etchPacket", eid=ref.id)
            name, files = _completed(packet, ref.name)
        url = address(self.settings.api_base, "api", "document-group", f"{files}.zip")
        answer = yield Save(request=self._request(url), name=f"{name or DOCUMENT}.zip", content_type="application/zip")
        if not answer.ok:
            raise failure(answer, _FATES, "Anvil")

    def _asked(self, query: str, path: str, **variables: Any) -> Flow[Mapping[str, Any]]:
        """The object at that path of the answer. GraphQL tells of some errors with status 200."""
        url = f"{self.settings.graphql_base.rstrip('/')}/"
        answer = yield Call(request=self._request(url, {"query": query, "variables": variables}))
        found = at_path(object_in(answer, _FATES, "Anvil"), f"data.{path}")
        if not isinstance(found, Mapping):
            words = told_in(answer, "errors.0.message")
            raise Unlikely(f"Anvil knows no such {path}, or cannot tell now" + (f" ({words})" if words else ""))
        return found

    def _request(self, url: str, json: Any = None) -> Request:
        credentials = b64encode(f"{self.settings.api_key.reveal()}:".encode()).decode()
        return Request(
            url=url, method="GET" if json is None else "POST", auth={"Authorization": f"Basic {credentials}"}, json=json
        )

    # --- the list -----------------------------------------------------------------------------------------------------

    def polls_every(self) -> float | None:
        return 3600.0 if self.settings.organization else None

    def completed_since(self, when: float) -> Steps:
        """The whole list: its order is not documented."""
        if not self.settings.organization:
            yield from super().completed_since(when)

        def page(number: int) -> Flow[Page]:
            given = {"slug": self.settings.organization, "limit": _SIZE, "offset": (number - 1) * _SIZE}
            items = objects(at_path((yield from self._asked(_LIST, "organization", **given)), "etchPackets.items"))
            rows = [row for item in items if (row := _row(item)) and (row.completed or inf) >= when]
            return Page(rows=rows, pages=number + 1 if items else number)

        yield from newest_first(page, -inf)


def _row(item: Mapping[str, Any]) -> Listed | None:
    if text_at(item, "status") != _DONE or not text_at(item, "eid"):
        return None
    changed = moment_at(item, "updatedAt")
    return Listed(
        ref=DocumentRef(id=text_at(item, "eid"), name=text_at(item, "name"), completed=changed), completed=changed
    )


def _completed(packet: Mapping[str, Any], title: str) -> tuple[str, str]:
    """The name of a packet that is completed, and the id of its files."""
    state, files = text_at(packet, "status"), text_at(packet, "documentGroup.eid")
    if state in _ENDED:
        raise Ignored(f"Anvil says {state}: there is no signed document")
    if state != _DONE or not files:
        raise NotReady(f"the packet is not finished at Anvil: its state is {told(state) or 'missing'}")
    return text_at(packet, "name") or title, files

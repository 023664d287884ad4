"""Firma (firma.dev): signed callbacks, and documents, certificates and audit trails from its signing-request API.

Wire facts, read in November 2026: callbacks https://docs.firma.dev/guides/webhooks (older payload
https://firma-2c386052.mintlify.app/guides/webhooks); secret used as text, names of events, lists: GitHub
Firma-esign/n8n-nodes-firma @66849a3; keys …/guides/authentication; audit …/guides/audit-trail; under
https://docs.firma.dev/api-reference/ rotation v01.11.00/webhooks/rotate-webhook-signing-secret, download
v01.38.00/signing-requests/download-signing-request, rows of the list v01.15.03/signing-requests/list-signing-requests;
links of the certificate: OpenAPI 01.38.00, as mirrored in GitHub api-evangelist/firma-dev.

Inferred, hence settings: the window on both sides (`tolerance`), that the workspace in a callback chooses the key
(`workspace_keys`). Contradictory: the names of the events (`events`); how a row of the list names its time (all names
are read); the retries, of which the shorter schedule is assumed, so that the list is read every half hour.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Literal

from ..core.errors import NotReady, Permanent, Retryable, Unlikely
from ..core.flow import EventTypes, Fates, beside_document, failure, forgiving, object_in, quiet_object, segment
from ..core.links import address, pdf_name, save_beside, save_document, seconds_left
from ..core.lists import Page, newest_first
from ..core.outgoing import Call, Listed, Request, Save, Warn
from ..core.payload import first_text, moment_at, object_of, objects, text_at, told_id, whole
from ..core.ports import Flow, Provider, Scheme, Steps
from ..core.settings import Secret, Url, setting
from ..core.template import header_text
from ..core.traits import Traits
from ..core.types import AUDIT, CERTIFICATE, DOCUMENT, EMPTY, DocumentRef, RawRequest, SourceEvent, at_path
from ..signing.choice import AnyOf
from ..signing.timed import timed

# --- settings and events ----------------------------------------------------------------------------------------------

_ENDS: Final = tuple(
    f"signing_request.{end}" for end in ("cancelled", "expired", "deleted", "declined", "recipient.declined", "voided")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """Firma's names differ between its guide, its API description and its n8n node: hence lists."""

    ready: tuple[str, ...] = setting(
        "the document can be fetched", ("signing_request.completed", "signing_request.certificate.generated")
    )
    terminal: tuple[str, ...] = setting("the signing ended without a document", _ENDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmaSettings:
    secrets: tuple[Secret, ...] = setting("webhook signing secrets as Firma shows them; two during a rotation")
    api_key: Secret = setting("API key; that of the protected workspace works company-wide")
    workspace_keys: Mapping[str, Secret] = setting("API keys by workspace id, if one is not enough", factory=dict)
    api_base: Url = setting("address of the API", Url("https://api.firma.dev/functions/v1/signing-request-api"))
    tolerance: int = setting("seconds that a signature's time may be away from now, both sides", 300)
    document: Literal["final", "document_only"] = setting("document_only: without the certificate's pages", "final")
    events: Events = setting("types of event by what they mean", factory=Events)

    def __post_init__(self) -> None:
        timed(_SIGNED_IN[0], self.secrets, self.tolerance)
        for key in (self.api_key, *self.workspace_keys.values()):
            header_text(key.reveal())


# --- errors -----------------------------------------------------------------------------------------------------------

_FATES: Final[Fates] = {
    401: (Permanent, "the API key is not accepted"),
    402: (Permanent, "the account has no credits"),
    403: (Permanent, "the API key may not do this"),
    404: (Unlikely, "no such signing request for this API key (the key of another workspace looks the same)"),
    409: (Unlikely, "there is no document: the signing request was not sent"),
    422: (Permanent, "the request is not accepted"),
    429: (Retryable, "the rate limit is reached"),
    503: (NotReady, "the PDF is being built"),
}
_ENDED: Final = ("cancelled", "declined", "expired")

# --- steps ------------------------------------------------------------------------------------------------------------

_SIGNED_IN: Final = ("X-Firma-Signature", "X-Firma-Signature-Old")
_EVENT_ID: Final = ("id", "event_id")
_LINK_MARGIN: Final = 60.0
_NEWEST_FIRST: Final = {"status": "finished", "sort_by": "finished_on", "sort_order": "desc", "page_size": "50"}
_FINISHED: Final = ("finished_date", "timestamps.finished_on", "finished_on", "date_finished")


class Firma(Provider):
    """One account, or one workspace, at Firma."""

    Settings = FirmaSettings
    settings: FirmaSettings
    traits: ClassVar[Traits] = Traits(
        verify="HMAC-SHA256 over time and body",
        parts=("document", "certificate", "audit"),
        lists=True,
        inferred="the window around the signed time, which workspace's key opens a document",
    )
    deadline: ClassVar[float] = 5.0

    def scheme(self) -> Scheme:
        """During a rotation Firma signs with the new secret in one header and with the old one in the other."""
        said = self.settings
        return AnyOf(schemes=tuple(timed(header, said.secrets, said.tolerance) for header in _SIGNED_IN))

    def warnings(self) -> list[str]:
        if all(re.fullmatch("[0-9a-f]{64}", secret.reveal()) for secret in self.settings.secrets):
            return []
        return ["one of `secrets` is not the 64 hexadecimal digits that a Firma signing secret is made of"]

    def delivery_id(self, request: RawRequest) -> str:
        """The id in the signed body: X-Firma-Delivery is new on every attempt."""
        return told_id(request, *_EVENT_ID)

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        """Both generations of the payload. The signed body wins over the headers, which are not signed."""
        body = object_of(request)
        kind = first_text(body, "type", "event_type", "event") or request.header("X-Firma-Event") or ""
        at, event_id = moment_at(body, "created_at", "timestamp"), first_text(body, *_EVENT_ID)
        return [self.settings.events.event(kind, lambda: _named_in(body, at), id=event_id, at=at)]

    def steps(self, ref: DocumentRef) -> Steps:
        """The certificate goes first, because its call also tells the title. Its troubles never stop the document."""
        title = ref.name
        if CERTIFICATE in ref.parts:
            detail = yield from forgiving(ref, CERTIFICATE, self._detail(ref, optional=beside_document(ref)))
            if detail is not None:
                title = text_at(detail, "name") or title
                yield from forgiving(ref, CERTIFICATE, self._certificate(ref, detail))
        if DOCUMENT in ref.parts:
            ask = self._final_link if self.settings.document == "final" else self._plain_link
            yield from save_document(partial(ask, ref), pdf_name(title))
        if AUDIT in ref.parts:
            yield from forgiving(ref, AUDIT, self._audit(ref))

    def _certificate(self, ref: DocumentRef, detail: Mapping[str, Any]) -> Flow[None]:
        """Of one that Firma failed to make a person is told: it will hardly come by itself."""
        if at_path(detail, "certificate.has_error") is True:
            yield Warn(message="there is no certificate: Firma reports an error while making it")

        def again() -> Flow[str]:
            return _certificate_in((yield from self._detail(ref, optional=beside_document(ref))))

        yield from save_beside(ref, CERTIFICATE, _certificate_in(detail), again, "certificate.pdf")

    def _audit(self, ref: DocumentRef) -> Flow[None]:
        """Saved like a file: a long trail is larger than an answer may be."""
        answer = yield Save(
            request=self._request(ref.hints, "signing-requests", ref.id, "audit"),
            part=AUDIT,
            name="audit.json",
            content_type="application/json",
            optional=beside_document(ref),
            unless=("text/html",),
        )
        if not answer.ok:
            raise failure(answer, _FATES, "Firma")
        if not answer.sha256:
            raise Retryable("its call answered with a page for people")

    def _final_link(self, ref: DocumentRef) -> Flow[str]:
        """A link to the finished PDF that opens for another minute."""
        for _ in range(2):
            answer = yield Call(request=self._request(ref.hints, "signing-requests", ref.id, "download"))
            found = object_in(answer, _FATES, "Firma")
            _must_be_finished(found.get("status"))
            if found.get("is_partial") is not False:
                raise NotReady("not everybody has signed")
            if seconds_left(answer, found.get("expires_at")) >= _LINK_MARGIN:
                break
        return _link(found, "download_url")

    def _plain_link(self, ref: DocumentRef) -> Flow[str]:
        detail = yield from self._detail(ref)
        states = (*_ENDED, "finished")
        _must_be_finished(next((state for state in states if at_path(detail, f"status.{state}") is True), None))
        return _link(detail, "document_only_download_url")

    def _detail(self, ref: DocumentRef, *, optional: bool = False) -> Flow[Mapping[str, Any]]:
        request = self._request(ref.hints, "signing-requests", ref.id)
        return object_in((yield Call(request=request, optional=optional)), _FATES, "Firma")

    def polls_every(self) -> float:
        return 1_800.0

    def completed_since(self, when: float) -> Steps:
        """The lists of all keys, and the webhooks that they see: without a workspace those of the company alone. An
        answer about webhooks that is an error is not missed."""
        hooks: list[Mapping[str, Any]] = []
        for workspace in ("", *self.settings.workspace_keys):
            hints, scope = _hints(workspace), {"workspace_id": workspace} if workspace else {}
            yield from newest_first(partial(self._page, hints), when)
            request = self._request(hints, "webhooks", page_size="200", **scope)
            hooks += objects(quiet_object((yield Call(request=request, optional=True))).get("results"))
        for trouble in dict.fromkeys(_troubles(hooks, self.source)):
            yield Warn(message=trouble)

    def _page(self, hints: Mapping[str, str], number: int) -> Flow[Page]:
        request = self._request(hints, "signing-requests", **_NEWEST_FIRST, page=str(number))
        found = object_in((yield Call(request=request)), _FATES, "Firma")
        rows = [_row(row, hints) for row in objects(found.get("results")) if text_at(row, "id")]
        total, pages = (at_path(found, f"pagination.total_{what}") for what in ("count", "pages"))
        return Page(rows=rows, total=total, pages=pages)

    def _request(self, hints: Mapping[str, str], *path: str, **query: str) -> Request:
        key = self.settings.workspace_keys.get(hints.get("workspace", ""), self.settings.api_key)
        url, accept = address(self.settings.api_base, *path, **query), {"Accept": "application/json"}
        return Request(url=url, headers=accept, auth={"Authorization": key.reveal()})


def _named_in(body: Mapping[str, Any], at: float | None) -> DocumentRef:
    """The signing request that the callback speaks of, and the workspace whose key opens it."""
    document = first_text(body, "data.signing_request.id", "data.signing_request_id", "data.id")
    segment(document)
    return DocumentRef(id=document, completed=at, hints=_hints(first_text(body, "workspace_id")))


def _hints(workspace: str) -> Mapping[str, str]:
    return {"workspace": workspace} if workspace else EMPTY


def _row(row: Mapping[str, Any], hints: Mapping[str, str]) -> Listed:
    finished = moment_at(row, *_FINISHED)
    ref = DocumentRef(id=text_at(row, "id"), name=text_at(row, "name"), completed=finished, hints=hints)
    return Listed(ref=ref, completed=finished)


def _link(found: Mapping[str, Any], key: str) -> str:
    if not (link := text_at(found, key)):
        raise NotReady(f"Firma gives no {key} yet")
    return link


def _must_be_finished(state: Any) -> None:
    if state in _ENDED:
        raise Permanent(f"the signing request is {state}: it has no final document")
    if state != "finished":
        raise NotReady("the signing request is not finished")


def _certificate_in(detail: Mapping[str, Any]) -> str:
    """Its link. NotReady where there is none yet."""
    if at_path(detail, "certificate.has_error") is True:
        raise NotReady("Firma reports an error while making it")
    if at_path(detail, "certificate.generated") is not True:
        raise NotReady("not generated yet")
    if detail.get("certificate_only_download_error") is not None:
        raise NotReady("Firma cannot reach its file")
    return _link(detail, "certificate_only_download_url")


def _troubles(hooks: list[Mapping[str, Any]], source: str) -> Iterator[str]:
    """What a person should know of the webhooks that call this source; of all where none does."""
    ours = [hook for hook in hooks if re.search(rf"/hooks/{re.escape(source)}(/|\?|\Z)", text_at(hook, "url"))]
    which = "the webhook that calls this source" if ours else "a webhook (none calls this source by its name)"
    for hook in ours or hooks:
        failures = whole(hook.get("consecutive_failures")) or 0
        if hook.get("enabled") is False or hook.get("auto_disabled_at"):
            yield f"Firma has switched off {which}: no callback comes until somebody switches it on there"
        elif failures > 0:
            yield f"Firma failed {failures} times in a row to deliver to {which}, and switches it off at 50"

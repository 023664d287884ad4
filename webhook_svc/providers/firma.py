"""Firma (firma.dev): signed callbacks, and documents, certificates and audit trails from its signing-request API.

Wire facts, read in November 2026:
callbacks and signature https://docs.firma.dev/guides/webhooks
(older payload https://firma-2c386052.mintlify.app/guides/webhooks);
secret used as text, event names, list call: GitHub Firma-esign/n8n-nodes-firma @66849a3;
rotation https://docs.firma.dev/api-reference/v01.11.00/webhooks/rotate-webhook-signing-secret;
keys https://docs.firma.dev/guides/authentication; audit https://docs.firma.dev/guides/audit-trail;
download https://docs.firma.dev/api-reference/v01.38.00/signing-requests/download-signing-request;
links of the certificate: OpenAPI 01.38.00, as mirrored in GitHub api-evangelist/firma-dev.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from ..core.errors import NotGenuine, NotReady, Permanent, Retryable
from ..core.flow import EventTypes, Fates, Flow, first_text, object_in, pdf_name, save_link, seconds_left, segment
from ..core.moment import moment
from ..core.ports import Provider, Scheme, Steps
from ..core.settings import Secret, Url, setting
from ..core.template import header_text
from ..core.types import (
    AUDIT,
    CERTIFICATE,
    DOCUMENT,
    EMPTY,
    Answer,
    Call,
    DocumentRef,
    Lacking,
    Listed,
    Meaning,
    RawRequest,
    Request,
    Save,
    SourceEvent,
    at_path,
)
from ..signing.verify import Verifier, VerifySettings

_CURRENT, _OLD = "X-Firma-Signature", "X-Firma-Signature-Old"
_ONE_TIME = r"\A(?:(?!\s*t=)[^,]*,)*\s*t=([0-9]{1,12})\s*(?:,(?!\s*t=)[^,]*)*\Z"
_SIGNATURE = r"(?:\A|,)\s*v1=([0-9a-f]{64})\s*(?=,|\Z)"

_EVENT_ID = ("id", "event_id")
_TYPE = ("type", "event_type", "event")
_REQUEST_ID = ("data.signing_request.id", "data.signing_request_id", "data.id")
_ENDED = ("cancelled", "declined", "expired")
_CERTIFICATE_LINK = "certificate_only_download_url"
_LIST = {"status": "finished", "sort_by": "finished_on", "sort_order": "desc", "page_size": "50"}
_MOST_PAGES = 200
_LINK_MARGIN = 60.0

# 503: the PDF is still being built, on its own schedule. 409: the request was never sent to its signers, so the
# callback was premature or wrong; it counts as a failed try, each ten minutes or more after the last, until they end.
_FATES: Fates = {
    401: (Permanent, "the API key is not accepted"),
    402: (Permanent, "the account has no credits"),
    403: (Permanent, "the API key may not do this"),
    404: (Permanent, "no such signing request for this API key (the key of another workspace looks the same)"),
    409: (Retryable, "there is no document: the signing request was not sent"),
    422: (Permanent, "the request is not accepted"),
    429: (Retryable, "the rate limit is reached"),
    503: (NotReady, "the PDF is being built"),
}
_TOO_EARLY = 600.0

_GUIDE = """\
1. In Firma open Workspace Settings → Webhooks and switch webhooks on, for the company and for the workspace. A test
   event arrives even while this master switch is off, so a test proves nothing about real events.
2. Add a webhook with the URL `https://YOUR-HOST/hooks/contracts` (https, a public address). Subscribe to
   `signing_request.completed`, and to `signing_request.certificate.generated` where Firma offers it.
3. Copy the signing secret (64 hexadecimal digits). A webhook of the company has the company's secret, that of a
   workspace its own. To rotate, put the new secret first and keep the old one for a week.
4. Copy an API key: that of the protected workspace opens documents of the whole company.

```toml
[sources.contracts]
provider = "firma"
secrets = ["${FIRMA_WEBHOOK_SECRET}"]
api_key = "${FIRMA_API_KEY}"
parts = ["document", "certificate"]
sinks = ["archive"]
```
Firma waits 5 s for an answer, repeats after 5 minutes and an hour, and gives a webhook up after 50 failures in a row.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """Firma's names differ between its guide, its API description and its n8n node: hence lists."""

    ready: tuple[str, ...] = setting(
        "the document can be fetched", ("signing_request.completed", "signing_request.certificate.generated")
    )
    terminal: tuple[str, ...] = setting(
        "the signing ended without a document",
        (
            "signing_request.cancelled",
            "signing_request.expired",
            "signing_request.deleted",
            "signing_request.declined",
            "signing_request.recipient.declined",
            "signing_request.voided",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmaSettings:
    secrets: tuple[Secret, ...] = setting("webhook signing secrets as Firma shows them; two during a rotation")
    api_key: Secret = setting("API key; that of the protected workspace works company-wide")
    workspace_keys: Mapping[str, Secret] = setting(
        "API keys by workspace id, where one key is not enough", factory=dict
    )
    api_base: Url = setting("address of the API", Url("https://api.firma.dev/functions/v1/signing-request-api"))
    tolerance: int = setting("seconds that a signature's time may be away from now, both sides", 300)
    document: Literal["final", "document_only"] = setting(
        "final: the finished PDF as Firma hands it out; document_only: the one without certificate pages", "final"
    )
    events: Events = setting("types of event by what they mean", factory=Events)

    def __post_init__(self) -> None:
        if not self.secrets:
            raise ValueError("at least one signing secret in `secrets`")
        if self.tolerance <= 0:
            raise ValueError("a `tolerance` above 0")
        for key in (self.api_key, *self.workspace_keys.values()):
            header_text(key.reveal())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Either:
    """During a rotation Firma signs with the new secret in one header and with the old one in another."""

    current: Verifier
    old: Verifier
    signs: bool = True

    def verify(self, request: RawRequest, now: float) -> str:
        try:
            return self.current.verify(request, now)
        except NotGenuine:
            if not request.header_all(_OLD):
                raise
            return self.old.verify(request, now)

    def mask(self, request: RawRequest) -> RawRequest:
        return self.current.mask(request)


class Firma(Provider):
    """One account, or one workspace, at Firma."""

    Settings = FirmaSettings
    settings: FirmaSettings
    deadline: ClassVar[float] = 5.0
    guide: ClassVar[str] = _GUIDE

    def scheme(self) -> Scheme:
        return _Either(current=self._verifier(_CURRENT), old=self._verifier(_OLD))

    def _verifier(self, header: str) -> Verifier:
        table = VerifySettings(
            alg="hmac-sha256",
            message="{ts}.{body}",
            signature=f"header:{header}",
            pattern=_SIGNATURE,
            vars={"ts": f"header:{header} ~ {_ONE_TIME}"},
            tolerance=self.settings.tolerance,
        )
        return Verifier(table, self.settings.secrets, self.public_url)

    def warnings(self) -> list[str]:
        if all(re.fullmatch("[0-9a-f]{64}", secret.reveal()) for secret in self.settings.secrets):
            return []
        return ["one of `secrets` is not the 64 hexadecimal digits that a Firma signing secret is made of"]

    def delivery_id(self, request: RawRequest) -> str:
        """The id in the signed body: X-Firma-Delivery is new on every attempt."""
        try:
            return first_text(request.json(), *_EVENT_ID)
        except (ValueError, Permanent):
            return ""

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        """Both generations of the payload. The signed body wins over the headers, which are not signed."""
        body = request.json()
        if not isinstance(body, Mapping):
            raise ValueError("the body is not a JSON object")
        kind = first_text(body, *_TYPE) or request.header("X-Firma-Event") or ""
        if not kind:
            raise ValueError("the callback names no type of event")
        at = moment(body.get("created_at", body.get("timestamp")))
        meaning = self.settings.events.meaning(kind)
        documents = () if meaning is Meaning.OTHER else (_named_in(body, at),)
        event_id = first_text(body, *_EVENT_ID)
        return [SourceEvent(type=kind, meaning=meaning, id=event_id, at=at, documents=documents)]

    def steps(self, ref: DocumentRef) -> Steps:
        """The certificate goes first, because its call also tells the title. Its troubles never stop the document."""
        title = ref.name
        if CERTIFICATE in ref.parts:
            title = (yield from self._certificate(ref)) or title
        if DOCUMENT in ref.parts:
            yield from self._document(ref, title)
        if AUDIT in ref.parts:
            yield from self._audit(ref)

    def _certificate(self, ref: DocumentRef) -> Flow[str]:
        """The title. A certificate that Firma failed to make is lacking too: that is reported, and the rest goes on."""
        title = reason = ""
        try:
            detail = yield from self._detail(ref, optional=_beside_document(ref))
            title = _text(detail.get("name"))
            reason = _why_no_certificate(detail) or (yield from self._save_certificate(ref, detail))
        except (NotReady, Retryable, Permanent) as error:
            if not _beside_document(ref):
                raise
            reason = str(error)
        if reason:
            yield Lacking(part=CERTIFICATE, reason=reason)
        return title

    def _save_certificate(self, ref: DocumentRef, detail: Mapping[str, Any]) -> Flow[str]:
        """Why it could not be fetched; "" where it was."""
        link, optional = _link(detail, _CERTIFICATE_LINK), _beside_document(ref)
        answer = yield from save_link(
            link, lambda: self._certificate_link(ref), CERTIFICATE, "certificate.pdf", optional=optional
        )
        return "" if answer.ok else f"its link answered {answer.status}"

    def _document(self, ref: DocumentRef, title: str) -> Flow[None]:
        ask = self._final_link if self.settings.document == "final" else self._plain_link
        link = yield from ask(ref)
        answer = yield from save_link(link, lambda: ask(ref), DOCUMENT, pdf_name(title))
        if not answer.ok:
            raise Retryable(f"the document's link answered {answer.status}", after=answer.retry_after())

    def _audit(self, ref: DocumentRef) -> Flow[None]:
        """Saved like a file: a long trail is larger than an answer may be."""
        request = self._request(ref.hints, "signing-requests", ref.id, "audit")
        answer = yield Save(
            request=request,
            part=AUDIT,
            name="audit.json",
            content_type="application/json",
            optional=_beside_document(ref),
        )
        if not answer.ok:
            yield Lacking(part=AUDIT, reason=f"its call answered {answer.status}")

    def _final_link(self, ref: DocumentRef) -> Flow[str]:
        """A link to the finished PDF that opens for another minute."""
        for _ in range(2):
            answer = yield Call(request=self._request(ref.hints, "signing-requests", ref.id, "download"))
            found = _object(answer)
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

    def _certificate_link(self, ref: DocumentRef) -> Flow[str]:
        return _link((yield from self._detail(ref, optional=_beside_document(ref))), _CERTIFICATE_LINK)

    def _detail(self, ref: DocumentRef, *, optional: bool = False) -> Flow[Mapping[str, Any]]:
        request = self._request(ref.hints, "signing-requests", ref.id)
        return _object((yield Call(request=request, optional=optional)))

    def completed_since(self, when: float) -> Steps:
        for workspace in ("", *self.settings.workspace_keys):
            yield from self._listed(when, {"workspace": workspace} if workspace else EMPTY)

    def _listed(self, when: float, hints: Mapping[str, str]) -> Flow[None]:
        """Newest first: a signing that finishes meanwhile moves the others down, so that none is skipped."""
        for page in range(1, _MOST_PAGES + 1):
            request = self._request(hints, "signing-requests", query={**_LIST, "page": str(page)})
            found = _object((yield Call(request=request)))
            rows = _rows(found, hints)
            for row in rows:
                if row.completed is not None and row.completed < when:
                    return
                yield row
            total = at_path(found, "pagination.total_pages")
            if not rows or (isinstance(total, int) and page >= total):
                return

    def _request(self, hints: Mapping[str, str], *path: str, query: Mapping[str, str] = EMPTY) -> Request:
        key = self.settings.workspace_keys.get(hints.get("workspace", ""), self.settings.api_key)
        url = "/".join((self.settings.api_base.rstrip("/"), *map(segment, path)))
        return Request(
            url=f"{url}?{urlencode(query)}" if query else url,
            headers={"Accept": "application/json"},
            auth={"Authorization": key.reveal()},
        )


def _named_in(body: Mapping[str, Any], at: float | None) -> DocumentRef:
    """The signing request that the callback speaks of, and the workspace whose key opens it."""
    document, workspace = first_text(body, *_REQUEST_ID), first_text(body, "workspace_id")
    segment(document)
    return DocumentRef(id=document, completed=at, hints={"workspace": workspace} if workspace else EMPTY)


def _beside_document(ref: DocumentRef) -> bool:
    """Whether another part's trouble would keep a document back; alone, its error is worth a try of its own."""
    return DOCUMENT in ref.parts


def _object(answer: Answer) -> Mapping[str, Any]:
    if answer.status == 409:
        raise Retryable(f"Firma answered 409: {_FATES[409][1]}", after=_TOO_EARLY)
    return object_in(answer, _FATES, "Firma")


def _link(found: Mapping[str, Any], key: str) -> str:
    link = found.get(key)
    if not isinstance(link, str) or not link:
        raise NotReady(f"Firma gives no {key} yet")
    return link


def _must_be_finished(state: Any) -> None:
    if state in _ENDED:
        raise Permanent(f"the signing request is {state}: it has no final document")
    if state != "finished":
        raise NotReady("the signing request is not finished")


def _why_no_certificate(detail: Mapping[str, Any]) -> str:
    if at_path(detail, "certificate.has_error") is True:
        return "Firma reports an error while making it"
    if at_path(detail, "certificate.generated") is not True:
        return "not generated yet"
    if detail.get("certificate_only_download_error") is not None or not _text(detail.get(_CERTIFICATE_LINK)):
        return "Firma cannot reach its file"
    return ""


def _rows(found: Mapping[str, Any], hints: Mapping[str, str]) -> list[Listed]:
    rows = found.get("results")
    return [_row(row, hints) for row in (rows if isinstance(rows, list) else []) if _text(at_path(row, "id"))]


def _row(row: Mapping[str, Any], hints: Mapping[str, str]) -> Listed:
    finished = moment(at_path(row, "timestamps.finished_on") or at_path(row, "finished_on"))
    ref = DocumentRef(id=row["id"], name=_text(row.get("name")), completed=finished, hints=hints)
    return Listed(ref=ref, completed=finished)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

"""Telnyx Documents: signed callbacks about orders, and the documents (letters of authorization, invoices, proofs of
identity) that belong to these orders.

Wire facts, read in November 2026:
signature https://developers.telnyx.com/docs/development/sdk/python/webhooks
and GitHub team-telnyx/telnyx-python @6d68c8ca, src/telnyx/lib/webhook_verification.py;
events https://developers.telnyx.com/api-reference/callbacks/number-order-status-update,
https://developers.telnyx.com/api-reference/callbacks/hosted-number-order-event,
https://developers.telnyx.com/docs/numbers/porting/port-in-notifications and …/port-out-notifications;
documents https://developers.telnyx.com/api-reference/documents/retrieve-a-document, …/download-a-document
and …/generate-a-temporary-download-link-for-a-document;
links https://developers.telnyx.com/openapi/spec/tag/Documents-API;
limits https://developers.telnyx.com/development/api-fundamentals/reliability/rate-limiting;
list of callbacks and its rows: telnyx-python, src/telnyx/types/webhook_delivery_list_*.py.

Not known: an event of a document's own (`events` names those of orders), how keys are changed (`secrets` takes
several), how long a link lasts (none is kept), how the list of callbacks is sorted (all that was started since then is
read), the `linked_record_type` of an order that hosts numbers (links are sought by the order's id alone).
Inferred: a document may go out once it was scanned (`unscanned`); an order may be looked at in every state but `draft`
(`too_early`); what a document requirement holds is the document's id where it is a UUID.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from ..core.errors import DocumentCheckFailed, Ignored, NotReady, Permanent, Retryable, Unlikely, WebhookError
from ..core.flow import EventTypes, Fates, failure, object_in, segment, told
from ..core.links import address, save_document
from ..core.lists import Page, newest_first
from ..core.moment import moment
from ..core.payload import first_text, object_of, objects, text_at, told_id, whole
from ..core.ports import Flow, Provider, Scheme, Steps
from ..core.settings import Secret, Url, setting
from ..core.template import header_text
from ..core.types import (
    DOCUMENT,
    EMPTY,
    Answer,
    Call,
    DocumentRef,
    Listed,
    Meaning,
    More,
    RawRequest,
    Request,
    Save,
    SourceEvent,
    Warn,
    at_path,
)
from ..signing.verify import Verifier, VerifySettings

_TYPE = ("data.event_type", "event_type", "event")
_EVENT_ID = ("data.id", "id")
_TIME = ("data.occurred_at", "occurred_at")
_PAYLOAD = ("data.payload", "payload")
_ORDER_ID = ("order_id", "id")
_ORDER_STATUS = ("order_status", "status", "status.value")
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WHOLE = {"page[size]": "250"}  # more documents of one order than anybody has
_CALLBACKS = "20"  # a row holds every attempt with up to 30 kB, and a page must stay below 1 MiB

_FATES: Fates = {
    401: (Permanent, "the API key is not accepted"),
    403: (Permanent, "the API key may not do this"),
    404: (Unlikely, "there is no such thing in this account (an upload that nothing is linked to lives 30 minutes)"),
    408: (Retryable, "it took too long"),
    409: (Retryable, "something else changes it at this moment"),
    422: (Permanent, "the request is not accepted"),
    429: (Retryable, "the rate limit is reached"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(EventTypes):
    """Telnyx has no event of a document's own: these are events of the orders that documents belong to."""

    ready: tuple[str, ...] = setting(
        "the documents of the order can be fetched",
        (
            "number_order.complete",
            "messaging_hosted_numbers_orders.updated",
            "portout.status_changed",
            "porting_order.status_changed",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TelnyxSettings:
    secrets: tuple[Secret, ...] = setting("public keys of the account, base64; two while they are changed")
    api_key: Secret = setting("API key (V2)")
    api_base: Url = setting("address of the API", Url("https://api.telnyx.com/v2"))
    tolerance: int = setting("seconds that a signature's time may be away from now, both sides", 300)
    download: Literal["direct", "link"] = setting(
        "direct: the bytes from the API; link: by a link to Telnyx's storage", "direct"
    )
    unscanned: Literal["wait", "take"] = setting(
        "a document that was not scanned for viruses: wait for it, or take it. An infected one is never taken", "wait"
    )
    too_early: tuple[str, ...] = setting("states in which an order is not looked at", ("draft",))
    events: Events = setting("types of event by what they mean", factory=Events)

    def __post_init__(self) -> None:
        if not self.secrets:
            raise ValueError("at least one public key in `secrets`")
        if self.tolerance <= 0:
            raise ValueError("a `tolerance` above 0")
        header_text(self.api_key.reveal())


class Telnyx(Provider):
    """One account at Telnyx."""

    Settings = TelnyxSettings
    settings: TelnyxSettings
    deadline: ClassVar[float] = 2.0

    def scheme(self) -> Scheme:
        table = VerifySettings(
            alg="ed25519",
            key="base64",
            message="{ts}|{body}",
            encoding="base64",
            signature="header:telnyx-signature-ed25519",
            vars={"ts": r"header:telnyx-timestamp ~ \A([0-9]{1,12})\Z"},
            tolerance=self.settings.tolerance,
        )
        return Verifier(table, self.settings.secrets, self.public_url)

    def offers(self) -> frozenset[str]:
        return frozenset({DOCUMENT})

    def polls_every(self) -> float | None:
        return 900.0

    def delivery_id(self, request: RawRequest) -> str:
        return told_id(request, *_EVENT_ID)

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        """The documents that the callback names; where it names none, the order, whose steps find them."""
        return [self._event(object_of(request))]

    def _event(self, body: Any) -> SourceEvent:
        kind, event_id = first_text(body, *_TYPE), first_text(body, *_EVENT_ID)
        if not kind:
            raise ValueError("the callback names no type of event")
        at, payload = moment(_first(body, _TIME)), _first(body, _PAYLOAD)
        meaning = self.settings.events.meaning(kind)
        if any(at_path(payload, path) in self.settings.too_early for path in _ORDER_STATUS):
            meaning = Meaning.OTHER
        documents: tuple[DocumentRef, ...] = ()
        if meaning is not Meaning.OTHER:
            named = _uuids(_required(payload))
            order = () if named else (_order_in(payload, kind, event_id, at),)
            documents = (*(DocumentRef(id=document, completed=at) for document in named), *order)
        return SourceEvent(type=kind, meaning=meaning, id=event_id, at=at, documents=documents)

    def steps(self, ref: DocumentRef) -> Steps:
        """An order leads to its documents, each a signing of its own: what many orders share is fetched once."""
        if "order" in ref.hints:
            yield from self._order(ref)
        else:
            yield from self._document(ref)

    def _order(self, ref: DocumentRef) -> Flow[None]:
        documents = _uuids((yield from self._named_by(ref.hints["order"], ref.id)))
        if not documents:
            raise Ignored(f"the order ({ref.hints['order']}) has no documents")
        for document in documents:
            yield More(ref=DocumentRef(id=document, completed=ref.completed))

    def _named_by(self, family: str, order: str) -> Flow[list[str]]:
        """What stands where the documents of an order are named."""
        match family:
            case "number_order":
                return list(_required((yield from self._data("number_orders", order))))
            case "portout":
                return (yield from self._document_ids("portouts", order, "supporting_documents"))
            case "porting_order":
                found = yield from self._data("porting_orders", order)
                more = yield from self._document_ids("porting_orders", order, "additional_documents", query=_WHOLE)
                return [text_at(found, "documents.loa"), text_at(found, "documents.invoice"), *more]
        query = {"filter[linked_resource_id]": order, **_WHOLE}
        return (yield from self._document_ids("document_links", query=query))

    def _document(self, ref: DocumentRef) -> Flow[None]:
        about = yield from self._data("documents", ref.id)
        self._must_be_fit(about)
        answer = yield from self._saved(ref, about)
        if not answer.ok:
            raise _failure(answer)
        size = whole(at_path(about, "size.amount"))
        if not text_at(about, "sha256") and size not in (None, answer.size):
            raise DocumentCheckFailed(f"{answer.size} bytes came where Telnyx names {size}")

    def _must_be_fit(self, about: Mapping[str, Any]) -> None:
        scan = about.get("av_scan_status")
        if scan == "infected":
            raise Permanent("Telnyx found a virus in the document")
        if about.get("status") == "denied":
            raise Permanent("Telnyx denies the document")
        if scan != "scanned" and self.settings.unscanned == "wait":
            raise NotReady("the document is not ready: it waits to be scanned for viruses")

    def _saved(self, ref: DocumentRef, about: Mapping[str, Any]) -> Flow[Answer]:
        name, kind = text_at(about, "filename") or ref.name, text_at(about, "content_type")
        sha256 = text_at(about, "sha256") or None
        if self.settings.download == "direct":
            request = self._request("documents", ref.id, "download", accept="application/octet-stream")
            return (yield Save(request=request, name=name, sha256=sha256, content_type=kind))
        return (yield from save_document(lambda: self._link(ref), name, sha256=sha256, content_type=kind))

    def _link(self, ref: DocumentRef) -> Flow[str]:
        link = text_at((yield from self._data("documents", ref.id, "download_link")), "url")
        if not link:
            raise Retryable("Telnyx gives no link to the document")
        return link

    def completed_since(self, when: float) -> Steps:
        """The callbacks that Telnyx sent or tried to send. How they are sorted is not known: none ends the reading."""
        started = datetime.fromtimestamp(max(0, int(when)), UTC).isoformat().replace("+00:00", "Z")
        kinds = (*self.settings.events.ready, *self.settings.events.changed)
        query = {"filter[started_at][gte]": started, "filter[event_type]": ",".join(kinds), "page[size]": _CALLBACKS}
        yield from newest_first(lambda number: self._callbacks({**query, "page[number]": str(number)}, number), 0.0)

    def _callbacks(self, query: Mapping[str, str], number: int) -> Flow[Page]:
        answer = yield Call(request=self._request("webhook_deliveries", query=query))
        sent, listed, unread = _data_in(answer, list), [], 0
        for row in sent:
            try:
                event = self._event(at_path(row, "webhook"))
                listed += [Listed(ref=ref, completed=event.at) for ref in event.documents]
            except (ValueError, Permanent):
                unread += 1
        if unread:
            yield Warn(message=f"{unread} callbacks in Telnyx's list are not understood")
        meta = at_path(answer.json(), "meta")
        pages = whole(at_path(meta, "total_pages"))
        more = number + bool(sent) if pages is None else pages
        return Page(rows=listed, total=at_path(meta, "total_results"), pages=more)

    def _data(self, *path: str, query: Mapping[str, str] = EMPTY) -> Flow[Mapping[str, Any]]:
        data: Mapping[str, Any] = _data_in((yield Call(request=self._request(*path, query=query))), Mapping)
        return data

    def _document_ids(self, *path: str, query: Mapping[str, str] = EMPTY) -> Flow[list[str]]:
        rows = _data_in((yield Call(request=self._request(*path, query=query))), list)
        return [text_at(row, "document_id") for row in rows]

    def _request(self, *path: str, query: Mapping[str, str] = EMPTY, accept: str = "application/json") -> Request:
        return Request(
            url=address(self.settings.api_base, *path, **query),
            headers={"Accept": accept},
            auth={"Authorization": f"Bearer {self.settings.api_key.reveal()}"},
        )


def _order_in(payload: Any, kind: str, event_id: str, at: float | None) -> DocumentRef:
    """Each event of an order is a round: its documents may be others by then."""
    order = first_text(payload, *_ORDER_ID)
    segment(order)
    return DocumentRef(id=order, round=event_id, completed=at, hints={"order": kind.partition(".")[0]})


def _data_in(answer: Answer, kind: type[Any]) -> Any:
    """What stands under `data`, where Telnyx answers with one thing (Mapping) or several (list)."""
    if not answer.ok:
        raise _failure(answer)
    data = object_in(answer, _FATES, "Telnyx").get("data")
    if not isinstance(data, kind):
        raise Retryable("the answer holds no such data as Telnyx describes")
    return data


def _failure(answer: Answer) -> WebhookError:
    """Telnyx writes an error as one object, or as a list under `errors`."""
    said: Any = None
    with suppress(Retryable):
        body = answer.json()
        said = at_path(body, "errors.0") or body
    words = (told(at_path(said, "code"), 20), told(at_path(said, "title"), 100))
    return failure(answer, _FATES, "Telnyx", " ".join(filter(None, words)))


def _first(body: Any, paths: Iterable[str]) -> Any:
    return next((value for path in paths if (value := at_path(body, path)) is not None), None)


def _required(order: Any) -> Iterator[str]:
    """What the numbers of an order hold where a document was required."""
    for number in objects(at_path(order, "phone_numbers")):
        for one in objects(number.get("regulatory_requirements")):
            if one.get("field_type") == "document":
                yield text_at(one, "field_value")


def _uuids(texts: Iterable[str]) -> list[str]:
    """Those that can be the id of a document, each once: a requirement may hold plain text in its place."""
    return list(dict.fromkeys(text.lower() for text in texts if _UUID.fullmatch(text.lower())))

"""Telnyx Documents: signed callbacks about orders, and the documents that these orders hold.

Wire facts, read in November 2026 under https://developers.telnyx.com:
signature docs/development/sdk/python/webhooks, and GitHub team-telnyx/telnyx-python @6d68c8ca,
src/telnyx/lib/webhook_verification.py; list of callbacks there, src/telnyx/types/webhook_delivery_list_*.py;
events api-reference/callbacks/number-order-status-update and …/hosted-number-order-event,
docs/numbers/porting/port-in-notifications and …/port-out-notifications;
documents api-reference/documents/retrieve-a-document, …/download-a-document and
…/generate-a-temporary-download-link-for-a-document; links openapi/spec/tag/Documents-API;
limits development/api-fundamentals/reliability/rate-limiting.

Unknown: an event of a document's own (`events` names those of orders); how keys are changed (`secrets` takes several);
how long a link lasts (none is kept); how long Telnyx repeats a callback before its list shows it (six hours are
assumed), and how that list is sorted (all of it is read); the `linked_record_type` of an order that hosts numbers
(links are sought by the order's id alone). Inferred: a document may go out once it was scanned (`unscanned`); an order
may be looked at in every state but `draft` (`too_early`); where a document is required, a UUID is the document's id.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

from ..core.errors import DocumentCheckFailed, Ignored, NotReady, Permanent, Retryable, Unlikely, WebhookError
from ..core.flow import EventTypes, Fates, failure, object_in, segment, told_in
from ..core.links import address, save_document
from ..core.lists import Page, newest_first
from ..core.outgoing import Answer, Call, Listed, More, Request, Save, Warn
from ..core.payload import first_text, moment_at, object_of, objects, text_at, told_id, whole
from ..core.ports import Flow, Provider, Scheme, Steps
from ..core.settings import Secret, Url, setting
from ..core.template import header_text
from ..core.traits import Traits
from ..core.types import DocumentRef, Meaning, RawRequest, SourceEvent, at_path
from ..signing.verify import Verifier, VerifySettings

T = TypeVar("T")

# --- settings and events ------------------------------------------------------------------------------------------


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
        header_text(self.api_key.reveal())


# --- errors -------------------------------------------------------------------------------------------------------

_FATES: Fates = {
    401: (Permanent, "the API key is not accepted"),
    403: (Permanent, "the API key may not do this"),
    404: (Unlikely, "there is no such thing in this account (an upload that nothing is linked to lives 30 minutes)"),
    408: (Retryable, "it took too long"),
    409: (Retryable, "something else changes it at this moment"),
    422: (Permanent, "the request is not accepted"),
    429: (Retryable, "the rate limit is reached"),
}

_ORDER_STATUS = ("order_status", "status", "status.value")
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WHOLE = {"page[size]": "250"}  # more documents of one order than anybody has
_CALLBACKS = {"page[size]": "20"}  # a row holds every attempt with up to 30 kB, and a page must stay below 1 MiB
_REPEATED = 6 * 3600.0


class Telnyx(Provider):
    """One account at Telnyx."""

    Settings = TelnyxSettings
    settings: TelnyxSettings
    traits: ClassVar[Traits] = Traits(
        verify="Ed25519 over time and body",
        lists=True,
        inferred="which events speak of documents, how long links last, how its list is sorted",
    )
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
        return Verifier(table, self.settings.secrets)

    def polls_every(self) -> float | None:
        return 900.0

    def delivery_id(self, request: RawRequest) -> str:
        return told_id(request, "data.id", "id")

    def parse(self, request: RawRequest) -> list[SourceEvent]:
        return [self._said(_event_in(object_of(request)))]

    def _said(self, event: Any) -> SourceEvent:
        """With the documents that it names; where it names none, with the order, whose steps find them."""
        kind, event_id = first_text(event, "event_type", "event"), first_text(event, "id")
        at, payload = moment_at(event, "occurred_at"), at_path(event, "payload")
        if not kind:
            raise ValueError("the callback names no type of event")
        meaning = self.settings.events.meaning(kind)
        states = (at_path(payload, path) for path in _ORDER_STATUS)
        if early := [state for state in states if state in self.settings.too_early]:
            kind, meaning = f"{kind} ({early[0]})", Meaning.OTHER
        documents: tuple[DocumentRef, ...] = ()
        if meaning is not Meaning.OTHER:
            named = tuple(DocumentRef(id=one, completed=at) for one in _uuids(_required(payload)))
            documents = named or (_order_in(payload, kind, event_id, at),)
        return SourceEvent(type=kind, meaning=meaning, id=event_id, at=at, documents=documents)

    def steps(self, ref: DocumentRef) -> Steps:
        """An order leads to its documents, each a signing of its own: what many orders share is fetched once."""
        family = ref.hints.get("order")
        if family is None:
            yield from self._document(ref)
            return
        documents = _uuids((yield from self._named_by(family, ref.id)))
        if not documents:
            raise Ignored(f"the order ({family}) has no documents")
        for document in documents:
            yield More(ref=DocumentRef(id=document, completed=ref.completed))

    def _named_by(self, family: str, order: str) -> Flow[list[str]]:
        """What stands where the documents of an order are named."""
        match family:
            case "number_order":
                return list(_required((yield from self._data(dict, "number_orders", order))))
            case "portout":
                return (yield from self._document_ids("portouts", order, "supporting_documents"))
            case "porting_order":
                found = yield from self._data(dict, "porting_orders", order)
                more = yield from self._document_ids("porting_orders", order, "additional_documents", **_WHOLE)
                return [text_at(found, "documents.loa"), text_at(found, "documents.invoice"), *more]
        return (yield from self._document_ids("document_links", **{"filter[linked_resource_id]": order}, **_WHOLE))

    def _document(self, ref: DocumentRef) -> Flow[None]:
        about = yield from self._data(dict, "documents", ref.id)
        self._must_be_fit(about)
        name, kind = text_at(about, "filename") or ref.name, text_at(about, "content_type")
        sha256, size = text_at(about, "sha256") or None, whole(at_path(about, "size.amount"))
        if self.settings.download == "link":
            answer = yield from save_document(partial(self._link, ref), name, sha256=sha256, content_type=kind)
        else:
            request = self._request("documents", ref.id, "download", accept="application/octet-stream")
            answer = yield Save(request=request, name=name, sha256=sha256, content_type=kind)
        if not answer.ok:
            raise _failure(answer)
        if sha256 is None and size not in (None, answer.size):
            raise DocumentCheckFailed(f"{answer.size} bytes came where Telnyx names {size}")

    def _must_be_fit(self, about: Mapping[str, Any]) -> None:
        scan = about.get("av_scan_status")
        if scan == "infected":
            raise Permanent("Telnyx found a virus in the document")
        if about.get("status") == "denied":
            raise Permanent("Telnyx denies the document")
        if scan != "scanned" and self.settings.unscanned == "wait":
            raise NotReady("the document is not ready: it waits to be scanned for viruses")

    def _link(self, ref: DocumentRef) -> Flow[str]:
        if link := text_at((yield from self._data(dict, "documents", ref.id, "download_link")), "url"):
            return link
        raise Retryable("Telnyx gives no link to the document")

    def completed_since(self, when: float) -> Steps:
        """The callbacks that Telnyx sent or tried to send. How they are sorted is not known: none ends the reading.

        One that is still repeated may not be listed yet, and is found by its first attempt, hours ago, when it is.
        """
        began = datetime.fromtimestamp(max(0, int(when - _REPEATED)), UTC).isoformat().replace("+00:00", "Z")
        kinds = ",".join((*self.settings.events.ready, *self.settings.events.changed))
        query = {"filter[started_at][gte]": began, "filter[event_type]": kinds, **_CALLBACKS}
        yield from newest_first(partial(self._callbacks, query), 0.0)

    def _callbacks(self, query: Mapping[str, str], number: int) -> Flow[Page]:
        answer = yield Call(request=self._request("webhook_deliveries", **query, **{"page[number]": str(number)}))
        sent, listed, unread = _data_in(answer, list), [], 0
        for row in sent:
            try:
                event = self._said(_event_in(at_path(row, "webhook")))
                listed += [Listed(ref=ref, completed=event.at) for ref in event.documents]
            except (ValueError, Permanent):
                unread += 1
        if unread:
            yield Warn(message=f"{unread} callbacks in Telnyx's list are not understood")
        meta = at_path(answer.json(), "meta")
        pages = whole(at_path(meta, "total_pages")) or number + bool(sent)
        return Page(rows=listed, total=at_path(meta, "total_results"), pages=pages)

    def _data(self, kind: type[T], *path: str, **query: str) -> Flow[T]:
        return _data_in((yield Call(request=self._request(*path, **query))), kind)

    def _document_ids(self, *path: str, **query: str) -> Flow[list[str]]:
        return [text_at(row, "document_id") for row in (yield from self._data(list, *path, **query))]

    def _request(self, *path: str, accept: str = "application/json", **query: str) -> Request:
        return Request(
            url=address(self.settings.api_base, *path, **query),
            headers={"Accept": accept},
            auth={"Authorization": f"Bearer {self.settings.api_key.reveal()}"},
        )


def _event_in(body: Any) -> Any:
    """It stands under `data`; newer families have it at the top, with a `data` of their own inside."""
    inner = at_path(body, "data")
    return inner if at_path(inner, "event_type") is not None else body


def _order_in(payload: Any, kind: str, event_id: str, at: float | None) -> DocumentRef:
    """Each event of an order is a round: its documents may be others by then."""
    order = first_text(payload, "order_id", "id")
    segment(order)
    return DocumentRef(id=order, round=event_id, completed=at, hints={"order": kind.partition(".")[0]})


def _required(order: Any) -> Iterator[str]:
    """What the numbers of an order hold where a document was required."""
    for number in objects(at_path(order, "phone_numbers")):
        for one in objects(number.get("regulatory_requirements")):
            if one.get("field_type") == "document":
                yield text_at(one, "field_value")


def _uuids(texts: Iterable[str]) -> list[str]:
    """Those that can be the id of a document, each once: a requirement may hold plain text in its place."""
    return list(dict.fromkeys(text.lower() for text in texts if _UUID.fullmatch(text.lower())))


def _data_in(answer: Answer, kind: type[T]) -> T:
    """What stands under `data`, where Telnyx answers with one thing (dict) or several (list)."""
    if not answer.ok:
        raise _failure(answer)
    data = object_in(answer, _FATES, "Telnyx").get("data")
    if not isinstance(data, kind):
        raise Retryable("the answer holds no such data as Telnyx describes")
    return data


def _failure(answer: Answer) -> WebhookError:
    """Telnyx writes an error as one object, or as a list under `errors`."""
    words = (told_in(answer, f"errors.0.{key}") or told_in(answer, key) for key in ("code", "title"))
    return failure(answer, _FATES, "Telnyx", " ".join(filter(None, words)))

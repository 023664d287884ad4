"""Telnyx as it looks from outside: documents, the orders they belong to, and callbacks signed with Ed25519."""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Response, abort, jsonify, request

from ..core.moment import moment
from ..core.ports import Simulator
from ..core.types import RawRequest
from .account import Account
from .quirks import (
    API_QUIRKS,
    CALLBACK_QUIRKS,
    FILE_QUIRKS,
    LINK_QUIRKS,
    LIST_QUIRKS,
    ROTATION_QUIRKS,
    TIMED_QUIRKS,
)

_NUMBER: Final = "+13035550000"
_ERRORS: Final = {
    401: ("10009", "Authentication failed"),
    404: ("10005", "Resource not found"),
    429: ("10011", "Too many requests"),
    500: ("10007", "Unexpected error"),
    503: ("10016", "Service unavailable"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of some family, and the ids of the documents that belong to it."""

    id: str
    documents: tuple[str, ...]

    def payload(self, kind: str) -> dict[str, Any]:
        """What an event of that type says of it. Of the documents only number orders know, and they only at times."""
        match kind.partition(".")[0]:
            case "messaging_hosted_numbers_orders":
                numbers = [{"value": _NUMBER, "status": "loa_file_successful"}]
                return {"order_id": self.id, "order_status": "loa_file_successful", "numbers": numbers}
            case "portout":
                return {"id": self.id, "status": "authorized", "phone_numbers": [_NUMBER]}
            case "porting_order":
                return {"id": self.id, "status": {"value": "submitted", "details": []}, "support_key": "sr_1"}
        return {"id": self.id, "record_type": "number_order", "status": "success", "phone_numbers_count": 1}


class TelnyxSimulator(Account, Simulator):
    """One account. A document that is no UUID gets one: `id_of` tells it. Callbacks name the documents of a number
    order; `complete_order` completes one of another kind, whose documents must be asked for."""

    provider = "telnyx"
    quirks = (
        *CALLBACK_QUIRKS,
        *TIMED_QUIRKS,
        *ROTATION_QUIRKS,
        *FILE_QUIRKS,
        *LINK_QUIRKS,
        *API_QUIRKS,
        *LIST_QUIRKS,
    )

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._numbers = itertools.count(1)
        self._documents: dict[str, str] = {}
        self._orders: dict[str, Order] = {}
        self._deliveries: list[dict[str, Any]] = []

    def source(self, api_base: str) -> dict[str, Any]:
        keys = [_public(self.secret), _public(self.next_secret)]
        table = {"provider": "telnyx", "secrets": keys, "api_key": self.api_key, "api_base": api_base}
        return {**table, "download": "link"}

    @staticmethod
    def id_of(document: str) -> str:
        try:
            return str(UUID(document))
        except ValueError:
            return str(uuid5(NAMESPACE_OID, f"document {document}"))

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        """A draft of an order, which is too early, and the number order that required the document."""
        self.sign(document, title, size)
        order = self._order(document)
        draft = {**order.payload("porting_order"), "status": {"value": "draft", "details": []}}
        required = {**order.payload("number_order"), "phone_numbers": [_required(one) for one in order.documents]}
        return self._send(("porting_order.status_changed", draft), ("number_order.complete", required))

    def complete_order(self, kind: str, *documents: str) -> list[RawRequest]:
        """The callback of this type, of an order with these documents."""
        for document in documents:
            self.sign(document, "", 0)
        return self._send((kind, self._order(*documents).payload(kind)))

    def _order(self, *documents: str) -> Order:
        self._documents |= {self.id_of(document): document for document in documents}
        order = Order(id=self._number("order"), documents=tuple(map(self.id_of, documents)))
        self._orders[order.id] = order
        return order

    def _number(self, what: str) -> str:
        """An id that no other thing has; tied to the secret, so that two accounts differ."""
        return str(uuid5(NAMESPACE_OID, f"{what} {next(self._numbers)} {self.secret}"))

    def _send(self, *events: tuple[str, dict[str, Any]]) -> list[RawRequest]:
        told = [self._webhook(kind, payload) for kind, payload in events]
        sent = self.sent([partial(self._callback, webhook, itertools.count(1)) for webhook in told])
        self._deliveries += [self._delivery(webhook, "delivered" if sent else "failed") for webhook in told]
        return sent

    def _webhook(self, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        told = {"record_type": "event", "event_type": kind, "id": self._number("event"), "payload": payload}
        return {**told, "occurred_at": _iso(self.clock())}

    def _callback(self, webhook: Mapping[str, Any], attempts: Iterator[int]) -> RawRequest:
        """A repeated callback has the id of the first, and counts."""
        meta = {"attempt": next(attempts), "delivered_to": "https://hooks.example/hooks/porting"}
        body = json.dumps({"data": webhook, "meta": meta}, separators=(",", ":")).encode()
        signed_at = self.signed_at()
        key = self.next_secret if self.shown.take("rotated_secret") else self.secret
        key = "somebody else's" if self.shown.take("wrong_signature") else key
        signature = _key(key).sign(b"%d|" % signed_at + body)
        headers = (
            ("content-type", "application/json"),
            ("user-agent", "telnyx-webhooks"),
            ("telnyx-timestamp", str(signed_at)),
            ("telnyx-signature-ed25519", base64.b64encode(signature).decode()),
        )
        return RawRequest(headers=headers, body=body)

    def _delivery(self, webhook: Mapping[str, Any], status: str) -> dict[str, Any]:
        times = {"started_at": _iso(self.clock()), "finished_at": _iso(self.clock())}
        attempt = {"status": status, "errors": [], **times}
        row = {"id": self._number("delivery"), "record_type": "webhook_delivery", "status": status, **times}
        return {**row, "attempts": [attempt], "webhook": webhook}

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        return self.app(
            self._guard,
            {
                "GET /documents/<path:document>/download_link": self._download_link,
                "GET /documents/<path:document>/download": self._download,
                "GET /documents/<path:document>": self._about,
                "GET /document_links": self._links_of,
                "GET /number_orders/<order>": self._number_order,
                "GET /portouts/<order>/supporting_documents": self._supporting,
                "GET /porting_orders/<order>": self._porting_order,
                "GET /porting_orders/<order>/additional_documents": self._additional,
                "GET /webhook_deliveries": self._sent,
            },
        )

    def _guard(self) -> Response | None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.api_key}".encode()):
            return _error(401)
        return self.trouble(_error)

    def _about(self, document: str) -> Response:
        signed = self.found(self._name(document), _missing)
        content = self.document_bytes(signed.id)
        return jsonify(
            data={
                "id": document,
                "record_type": "document",
                "created_at": _iso(signed.finished),
                "updated_at": _iso(signed.finished),
                "content_type": "application/pdf",
                "size": {"unit": "bytes", "amount": len(content)},
                "status": "verified",
                "sha256": hashlib.sha256(content).hexdigest(),
                "filename": f"{signed.title}.pdf",
                "customer_reference": "",
                "av_scan_status": "pending_scan" if self.shown.take("not_ready") else "scanned",
            }
        )

    def _download_link(self, document: str) -> Response:
        return jsonify(data={"url": self.link(self.found(self._name(document), _missing).id)})

    def _download(self, document: str) -> Response:
        signed = self.found(self._name(document), _missing)
        return self.shown.file(self.document_bytes(signed.id), "application/octet-stream", name=f"{signed.title}.pdf")

    def _name(self, document: str) -> str:
        return self._documents.get(document, "")

    def _links_of(self) -> Response:
        order = self._orders.get(request.args.get("filter[linked_resource_id]", ""))
        return _page([{"document_id": one, "linked_resource_id": order.id} for one in order.documents] if order else [])

    def _number_order(self, order: str) -> Response:
        found = self._known(order)
        numbers = [_required(one) for one in found.documents]
        return jsonify(data={**found.payload("number_order"), "phone_numbers": numbers})

    def _supporting(self, order: str) -> Response:
        return jsonify(data=[{"document_id": one, "type": "loa"} for one in self._known(order).documents])

    def _porting_order(self, order: str) -> Response:
        """The first document is the letter of authorization, the second the invoice; further ones are additional."""
        found = self._known(order)
        loa, invoice = (*found.documents, None, None)[:2]
        return jsonify(data={**found.payload("porting_order"), "documents": {"loa": loa, "invoice": invoice}})

    def _additional(self, order: str) -> Response:
        return _page([{"document_id": one, "document_type": "other"} for one in self._known(order).documents[2:]])

    def _known(self, order: str) -> Order:
        if order not in self._orders:
            abort(_missing())
        return self._orders[order]

    def _sent(self) -> Response:
        """Newest first. Where an entry is to vanish, it is one of a page that was read before."""
        if request.args.get("page[number]", "1") != "1" and self.shown.take("list_shrinks"):
            self._deliveries.pop()
        since = moment(request.args.get("filter[started_at][gte]")) or 0.0
        kinds = request.args.get("filter[event_type]", "").split(",")
        rows = [row for row in self._deliveries if (moment(row["started_at"]) or 0.0) >= since]
        return _page([row for row in rows[::-1] if kinds == [""] or row["webhook"]["event_type"] in kinds])


def _key(secret: str) -> Ed25519PrivateKey:
    """Any text makes a key pair."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())


def _public(secret: str) -> str:
    return base64.b64encode(_key(secret).public_key().public_bytes_raw()).decode()


def _required(document: str) -> dict[str, Any]:
    """A phone number that requires this document, and an address, whose id is no document's."""
    fields = (("document", document), ("address", str(uuid5(NAMESPACE_OID, "address"))), ("textual", "ACME"))
    needs = [{"field_type": kind, "field_value": value, "record_type": "phone_number"} for kind, value in fields]
    return {"phone_number": _NUMBER, "regulatory_requirements": needs, "requirements_met": True}


def _page(rows: Sequence[Mapping[str, Any]]) -> Response:
    number, size = int(request.args.get("page[number]", "1")), int(request.args.get("page[size]", "20"))
    shown = rows[(number - 1) * size : number * size]
    pages = {"page_number": number, "page_size": size, "total_results": len(rows)}
    return jsonify(data=shown, meta={**pages, "total_pages": -(-len(rows) // size)})


def _missing() -> Response:
    """What is not there is told by one object; all other errors come as a list."""
    code, title = _ERRORS[404]
    answer = jsonify(code=code, title=title, detail="The requested resource or URL could not be found.")
    answer.status_code = 404
    return answer


def _error(status: int, after: float | None = None) -> Response:
    code, title = _ERRORS[status]
    answer = jsonify(errors=[{"code": code, "title": title, "detail": "Made on demand."}])
    answer.status_code = status
    if after is not None:
        answer.headers["x-ratelimit-reset" if status == 429 else "Retry-After"] = str(round(after))
    return answer


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

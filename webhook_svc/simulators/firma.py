"""Firma as it looks from outside: the signing-request API, links to files, and signed callbacks."""

import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flask import Response, jsonify, request

from ..core.ports import Simulator
from ..core.types import RawRequest
from .account import Account, Signed, made_up, said
from .quirks import (
    API_QUIRKS,
    CALLBACK_QUIRKS,
    CERTIFICATE_QUIRKS,
    FILE_QUIRKS,
    HOOK_QUIRKS,
    LINK_QUIRKS,
    LIST_QUIRKS,
    ROTATION_QUIRKS,
    TIMED_QUIRKS,
)


class FirmaSimulator(Account, Simulator):
    """One account. Without arguments its secrets are made up; `source` tells them."""

    provider = "firma"
    quirks = (
        *CALLBACK_QUIRKS,
        *TIMED_QUIRKS,
        *ROTATION_QUIRKS,
        *FILE_QUIRKS,
        *LINK_QUIRKS,
        *API_QUIRKS,
        *CERTIFICATE_QUIRKS,
        *LIST_QUIRKS,
        *HOOK_QUIRKS,
    )

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.url_token = made_up(24)
        self._numbers = itertools.count(1)

    def source(self, api_base: str) -> dict[str, Any]:
        return {"provider": "firma", "secrets": [self.secret], "api_key": self.api_key, "api_base": api_base}

    def document_bytes(self, document: str, part: str = "document") -> bytes:
        if part == "audit":
            return json.dumps({"results": [_audit_line(self.signed[document])]}).encode()
        return super().document_bytes(document, part)

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        self.sign(document, title, size)
        kinds = ("signing_request.completed", "signing_request.certificate.generated")
        return self.sent(partial(self._callback, kind, self._payload(kind, document)) for kind in kinds)

    def _payload(self, kind: str, document: str) -> bytes:
        payload = {
            "id": f"evt_{int(self.clock())}_{next(self._numbers):06}",
            "type": kind,
            "created_at": _iso(self.clock()),
            "company_id": "comp_1",
            "workspace_id": "ws_1",
            "data": {"signing_request": {"id": document}},
        }
        return json.dumps(payload, separators=(",", ":")).encode()

    def _callback(self, kind: str, body: bytes) -> RawRequest:
        signed_at = self.signed_at()
        headers = [
            ("content-type", "application/json"),
            ("x-firma-event", kind),
            ("x-firma-delivery", f"dlv_{next(self._numbers):06}"),
        ]
        if self.shown.take("rotated_secret"):
            headers.append(("x-firma-signature", _signature(self.next_secret, signed_at, body)))
            headers.append(("x-firma-signature-old", _signature(self.secret, signed_at, body)))
        else:
            key = "somebody else's" if self.shown.take("wrong_signature") else self.secret
            headers.append(("x-firma-signature", _signature(key, signed_at, body)))
        return RawRequest(headers=tuple(headers), body=body)

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        return self.app(
            self._guard,
            {
                "GET /signing-requests": self._list,
                "GET /signing-requests/<path:document>/download": self._download,
                "GET /signing-requests/<path:document>/audit": self._audit,
                "GET /signing-requests/<path:document>": self._detail,
                "GET /webhooks": self._webhooks,
            },
        )

    def _guard(self) -> Response | None:
        """Firma takes the bare key or a bearer token."""
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.removeprefix("Bearer ").encode(), self.api_key.encode()):
            return _error(401, "Unauthorized", "Invalid API key")
        return self.trouble(lambda status, after: _error(status, "trouble", "made on demand", after=after))

    def _download(self, document: str) -> Response:
        signed = self._found(document)
        if self.shown.take("not_ready"):
            return jsonify(status="in_progress", is_partial=True, download_url=None, expires_at=None)
        return jsonify(
            status="finished",
            is_partial=False,
            download_url=self.link(document, "document"),
            generated_at=_iso(signed.finished),
            expires_at=_iso(self.clock() + self.link_life),
        )

    def _detail(self, document: str) -> Response:
        signed = self._found(document)
        late = self.shown.take("certificate_late")
        made = None if late else self.link(document, "certificate")
        return jsonify(
            id=document,
            name=signed.title,
            status={"sent": True, "finished": True, "cancelled": False, "declined": False, "expired": False},
            timestamps={"finished_on": _iso(signed.finished)},
            certificate={"generated": not late, "generated_on": None if late else _iso(signed.finished)},
            final_document_download_url=self.link(document, "document"),
            document_only_download_url=self.link(document, "document"),
            document_only_download_error=None,
            certificate_only_download_url=made,
            certificate_only_download_error=None,
        )

    def _audit(self, document: str) -> Response:
        self._found(document)
        return Response(self.document_bytes(document, "audit"), mimetype="application/json")

    def _list(self) -> Response:
        page, size = int(request.args.get("page", "1")), int(request.args.get("page_size", "50"))
        newest, total = self.listed(page, size)
        rows = [
            {"id": signed.id, "name": signed.title, "status": "finished", "finished_date": _iso(signed.finished)}
            for signed in newest
        ]
        return jsonify(results=rows, pagination=_pagination(page, size, total))

    def _webhooks(self) -> Response:
        failing, disabled = self.shown.take("hook_failing"), self.shown.take("hook_disabled")
        hook = {
            "id": "hook_1",
            "url": f"https://hooks.example.test/hooks/test/{self.url_token}",
            "description": None,
            "events": ["signing_request.completed", "signing_request.certificate.generated"],
            "enabled": not disabled,
            "consecutive_failures": 50 if disabled else 3 if failing else 0,
            "auto_disabled_at": _iso(self.clock()) if disabled else None,
            "created_at": _iso(0),
        }
        return jsonify(results=[hook], pagination=_pagination(1, 200, 1))

    def _found(self, document: str) -> Signed:
        return self.found(document, lambda: _error(404, "not_found", "no such signing request"))


def _signature(secret: str, at: int, body: bytes) -> str:
    return f"t={at},v1={hmac.new(secret.encode(), b'%d.' % at + body, hashlib.sha256).hexdigest()}"


def _error(status: int, code: str, message: str, *, after: float | None = None) -> Response:
    details = {} if after is None else {"retry_after": after}
    return said(status, after, error=code, message=message, details=details)


def _pagination(page: int, size: int, total: int) -> dict[str, int]:
    return {"current_page": page, "page_size": size, "total_count": total, "total_pages": -(-total // size)}


def _audit_line(signed: Signed) -> dict[str, Any]:
    line = {"id": "1", "timestamp": _iso(signed.finished), "source": "signer", "event": "completed"}
    return {**line, "description": f"{signed.title} was signed", "actor": "", "ip_address": "", "details": {}}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

"""Firma as it looks from outside: the signing-request API, links to files, and signed callbacks."""

import hashlib
import hmac
import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, abort, jsonify, request

from ..core.ports import Clock, Simulator
from ..core.types import RawRequest
from .pdf import pdf
from .quirks import CALLBACK_QUIRKS, FILE_QUIRKS, LATE, Pause, Quirks

_LINK_LIFE = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    id: str
    title: str
    size: int
    finished: float

    def file(self, part: str) -> bytes:
        if part == "audit":
            return json.dumps({"results": [_audit_line(self)]}).encode()
        return pdf(f"Certificate: {self.title}") if part == "certificate" else pdf(self.title, size=self.size)


class FirmaSimulator(Simulator):
    """One account. Without arguments its secrets are made up; `source` tells them."""

    provider = "firma"
    quirks = (
        *CALLBACK_QUIRKS,
        "rotated_secret",
        *FILE_QUIRKS,
        "unavailable",
        "rate_limited",
        "not_ready",
        "certificate_late",
    )

    def __init__(
        self, *, secret: str = "", api_key: str = "", clock: Clock = time.time, pause: Pause = time.sleep
    ) -> None:
        self._secret = secret or secrets.token_hex(32)
        self._next_secret = secrets.token_hex(32)
        self._api_key = api_key or secrets.token_hex(16)
        self._clock = clock
        self._quirks = Quirks(self.quirks, pause)
        self._signed: dict[str, _Signed] = {}
        self._links: dict[str, tuple[str, str, float]] = {}
        self._numbers = itertools.count(1)

    def misbehave(self, quirk: str, *, times: int = 1) -> None:
        self._quirks.add(quirk, times)

    def source(self, api_base: str) -> dict[str, Any]:
        return {"provider": "firma", "secrets": [self._secret], "api_key": self._api_key, "api_base": api_base}

    def document_bytes(self, document: str, part: str = "document") -> bytes:
        return self._signed[document].file(part)

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        title = title or f"Contract {document}"
        self._signed[document] = _Signed(id=document, title=title, size=size, finished=self._clock())
        sent: list[RawRequest] = []
        for kind in ("signing_request.completed", "signing_request.certificate.generated"):
            body = self._payload(kind, document)
            copies = 2 if self._quirks.take("duplicate") else 1
            sent += [self._callback(kind, body) for _ in range(copies)]
        return sent[::-1] if self._quirks.take("reorder") else sent

    def _payload(self, kind: str, document: str) -> bytes:
        payload = {
            "id": f"evt_{int(self._clock())}_{next(self._numbers):06}",
            "type": kind,
            "created_at": _iso(self._clock()),
            "company_id": "comp_1",
            "workspace_id": "ws_1",
            "data": {"signing_request": {"id": document}},
        }
        return json.dumps(payload, separators=(",", ":")).encode()

    def _callback(self, kind: str, body: bytes) -> RawRequest:
        signed_at = int(self._clock()) - (LATE if self._quirks.take("late") else 0)
        headers = [
            ("content-type", "application/json"),
            ("x-firma-event", kind),
            ("x-firma-delivery", f"dlv_{next(self._numbers):06}"),
        ]
        if self._quirks.take("rotated_secret"):
            headers.append(("x-firma-signature", _signature(self._next_secret, signed_at, body)))
            headers.append(("x-firma-signature-old", _signature(self._secret, signed_at, body)))
        else:
            key = "somebody else's" if self._quirks.take("wrong_signature") else self._secret
            headers.append(("x-firma-signature", _signature(key, signed_at, body)))
        return RawRequest(headers=tuple(headers), body=body)

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        app = Flask("firma-simulator", static_folder=None)
        app.before_request(self._guard)
        app.add_url_rule("/signing-requests", view_func=self._list)
        app.add_url_rule("/signing-requests/<path:document>/download", view_func=self._download)
        app.add_url_rule("/signing-requests/<path:document>/audit", view_func=self._audit)
        app.add_url_rule("/signing-requests/<path:document>", view_func=self._detail)
        app.add_url_rule("/files/<token>", view_func=self._file)
        return app

    def _guard(self) -> Response | None:
        """Firma takes the bare key or a bearer token; a storage host takes none at all."""
        given = request.headers.get("Authorization", "")
        if request.path.startswith("/files/"):
            return _error(400, "InvalidArgument", "only one way to authorise is allowed") if given else None
        if not hmac.compare_digest(given.removeprefix("Bearer ").encode(), self._api_key.encode()):
            return _error(401, "Unauthorized", "Invalid API key")
        if self._quirks.take("rate_limited"):
            return _error(429, "Rate Limit Exceeded", "slow down", after=1)
        return None

    def _download(self, document: str) -> Response:
        signed = self._found(document)
        if self._quirks.take("unavailable"):
            return _error(503, "generation_timeout", "the PDF is being built", after=1)
        if self._quirks.take("not_ready"):
            return jsonify(status="in_progress", is_partial=True, download_url=None, expires_at=None)
        return jsonify(
            status="finished",
            is_partial=False,
            download_url=self._link(document, "document"),
            generated_at=_iso(signed.finished),
            expires_at=_iso(self._clock() + _LINK_LIFE),
        )

    def _detail(self, document: str) -> Response:
        signed = self._found(document)
        late = self._quirks.take("certificate_late")
        made = None if late else self._link(document, "certificate")
        return jsonify(
            id=document,
            name=signed.title,
            status={"sent": True, "finished": True, "cancelled": False, "declined": False, "expired": False},
            timestamps={"finished_on": _iso(signed.finished)},
            certificate={"generated": not late, "generated_on": None if late else _iso(signed.finished)},
            final_document_download_url=self._link(document, "document"),
            document_only_download_url=self._link(document, "document"),
            document_only_download_error=None,
            certificate_only_download_url=made,
            certificate_only_download_error=None,
        )

    def _audit(self, document: str) -> Response:
        return Response(self._found(document).file("audit"), mimetype="application/json")

    def _list(self) -> Response:
        page, size = int(request.args.get("page", "1")), int(request.args.get("page_size", "50"))
        newest = sorted(self._signed.values(), key=lambda signed: signed.finished, reverse=True)
        rows = [
            {"id": signed.id, "name": signed.title, "timestamps": {"finished_on": _iso(signed.finished)}}
            for signed in newest[(page - 1) * size : page * size]
        ]
        pages = {"current_page": page, "page_size": size, "total_count": len(newest)}
        return jsonify(results=rows, pagination={**pages, "total_pages": -(-len(newest) // size)})

    def _file(self, token: str) -> Response:
        document, part, until = self._links.get(token, ("", "", 0.0))
        if self._clock() > until:
            abort(403)
        return self._quirks.file(self._signed[document].file(part))

    def _link(self, document: str, part: str) -> str:
        token = secrets.token_urlsafe(12)
        self._links[token] = (document, part, self._clock() + _LINK_LIFE)
        return f"{request.host_url}files/{token}?X-Amz-Signature={secrets.token_hex(8)}"

    def _found(self, document: str) -> _Signed:
        if document not in self._signed:
            abort(_error(404, "not_found", "no such signing request"))
        return self._signed[document]


def _signature(secret: str, at: int, body: bytes) -> str:
    return f"t={at},v1={hmac.new(secret.encode(), b'%d.' % at + body, hashlib.sha256).hexdigest()}"


def _error(status: int, code: str, message: str, *, after: int | None = None) -> Response:
    answer = jsonify(error=code, message=message, details={} if after is None else {"retry_after": after})
    answer.status_code = status
    if after is not None:
        answer.headers["Retry-After"] = str(after)
    return answer


def _audit_line(signed: _Signed) -> dict[str, Any]:
    line = {"id": "1", "timestamp": _iso(signed.finished), "source": "signer", "event": "completed"}
    return {**line, "description": f"{signed.title} was signed", "actor": "", "ip_address": "", "details": {}}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

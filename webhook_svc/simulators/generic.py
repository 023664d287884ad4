"""A sender of the house that no code was written for: signed callbacks and an API that a configuration describes."""

import hmac
import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, abort, jsonify, request

from ..core.ports import Clock, Simulator
from ..core.types import RawRequest
from .pdf import pdf
from .quirks import CALLBACK_QUIRKS, FILE_QUIRKS, LATE, Pause, Quirks


class GenericSimulator(Simulator):
    """The `inhouse` sender of the documentation. Without arguments its secrets are made up; `source` tells them."""

    provider = "generic"
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
        self._secret = secret or secrets.token_urlsafe(24)
        self._next_secret = secrets.token_urlsafe(24)
        self._api_key = api_key or secrets.token_hex(16)
        self._clock = clock
        self._quirks = Quirks(self.quirks, pause)
        self._signed: dict[str, tuple[str, int]] = {}
        self._links: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def misbehave(self, quirk: str, *, times: int = 1) -> None:
        self._quirks.add(quirk, times)

    def source(self, api_base: str) -> dict[str, Any]:
        contract, headers = "{api_base}/contracts/{document}", {"Authorization": "Bearer {api_key}"}
        return {
            "provider": "generic",
            "secrets": [self._secret],
            "values": {"api_base": api_base, "api_key": self._api_key},
            "verify": {
                "alg": "hmac-sha256",
                "message": "{ts}.{body}",
                "signature": "header:X-Signature",
                "pattern": "v1=([0-9a-f]{64})",
                "vars": {"ts": r"header:X-Signature ~ t=(\d+)"},
                "tolerance": 300,
            },
            "event": {
                "id": "/id",
                "type": "/type",
                "at": "/time",
                "ready": ["contract.completed"],
                "terminal": ["contract.cancelled"],
                "document": "/data/contract_id",
                "name": "/data/title",
            },
            "download": [
                {
                    "get": contract,
                    "headers": headers,
                    "not_ready": [409, 503],
                    "expect": {"/status": "finished"},
                    "take": {"link": "/data/url"},
                },
                {"get": "{link}", "save": "document"},
                {"get": contract + "/certificate", "headers": headers, "save": "certificate", "optional": True},
            ],
        }

    def document_bytes(self, document: str, part: str = "document") -> bytes:
        title, size = self._signed[document]
        return pdf(f"Certificate: {title}") if part == "certificate" else pdf(title, size=size)

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        self._signed[document] = (title or f"Contract {document}", size)
        sent: list[RawRequest] = []
        for kind in ("contract.signed_by_one", "contract.completed"):
            body = self._payload(kind, document)
            copies = 2 if self._quirks.take("duplicate") else 1
            sent += [self._callback(body) for _ in range(copies)]
        return sent[::-1] if self._quirks.take("reorder") else sent

    def _payload(self, kind: str, document: str) -> bytes:
        data = {"contract_id": document, "title": self._signed[document][0]}
        event = {"id": f"e-{next(self._numbers)}", "type": kind, "time": int(self._clock()), "data": data}
        return json.dumps(event, separators=(",", ":")).encode()

    def _callback(self, body: bytes) -> RawRequest:
        signed_at = int(self._clock()) - (LATE if self._quirks.take("late") else 0)
        keys = [self._next_secret, self._secret] if self._quirks.take("rotated_secret") else [self._secret]
        keys = ["somebody else's"] if self._quirks.take("wrong_signature") else keys
        digests = [hmac.digest(key.encode(), b"%d." % signed_at + body, "sha256").hex() for key in keys]
        signature = ",".join([f"t={signed_at}", *(f"v1={digest}" for digest in digests)])
        return RawRequest(headers=(("content-type", "application/json"), ("x-signature", signature)), body=body)

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        app = Flask("generic-simulator", static_folder=None)
        app.before_request(self._guard)
        app.add_url_rule("/contracts/<path:document>/certificate", view_func=self._certificate)
        app.add_url_rule("/contracts/<path:document>", view_func=self._contract)
        app.add_url_rule("/files/<token>", view_func=self._file)
        return app

    def _guard(self) -> Response | None:
        given = request.headers.get("Authorization", "")
        if request.path.startswith("/files/"):
            return _answer(400, error="a link needs no credentials") if given else None
        if not hmac.compare_digest(given.encode(), f"Bearer {self._api_key}".encode()):
            return _answer(401, error="unauthorised")
        if self._quirks.take("rate_limited"):
            return _answer(429, after=1, error="slow down")
        return None

    def _contract(self, document: str) -> Response:
        title, _ = self._found(document)
        if self._quirks.take("unavailable"):
            return _answer(503, after=1, error="the PDF is being built")
        if self._quirks.take("not_ready"):
            return _answer(200, status="signing", data={"title": title})
        token = secrets.token_urlsafe(12)
        self._links[token] = document
        url = f"{request.host_url}files/{token}?sig={secrets.token_hex(8)}"
        return _answer(200, status="finished", data={"title": title, "url": url})

    def _certificate(self, document: str) -> Response:
        self._found(document)
        if self._quirks.take("certificate_late"):
            return _answer(404, error="no certificate yet")
        return Response(self.document_bytes(document, "certificate"), mimetype="application/pdf")

    def _file(self, token: str) -> Response:
        if token not in self._links:
            abort(403)
        return self._quirks.file(self.document_bytes(self._links[token]))

    def _found(self, document: str) -> tuple[str, int]:
        if document not in self._signed:
            abort(_answer(404, error="no such contract"))
        return self._signed[document]


def _answer(code: int, *, after: int | None = None, **content: Any) -> Response:
    answer = jsonify(content)
    answer.status_code = code
    if after is not None:
        answer.headers["Retry-After"] = str(after)
    return answer

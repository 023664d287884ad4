"""A sender of the house that no code was written for: signed callbacks and an API that a configuration describes."""

import hmac
import itertools
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from flask import Response, request

from ..core.ports import Simulator
from ..core.types import RawRequest
from .account import Account, Signed, said
from .quirks import (
    API_QUIRKS,
    CALLBACK_QUIRKS,
    CERTIFICATE_QUIRKS,
    FILE_QUIRKS,
    LINK_QUIRKS,
    LIST_QUIRKS,
    ROTATION_QUIRKS,
    TIMED_QUIRKS,
)


class GenericSimulator(Account, Simulator):
    """The `inhouse` sender of the documentation. Without arguments its secrets are made up; `source` tells them."""

    provider = "generic"
    quirks = (
        *CALLBACK_QUIRKS,
        *TIMED_QUIRKS,
        *ROTATION_QUIRKS,
        *FILE_QUIRKS,
        *LINK_QUIRKS,
        *API_QUIRKS,
        *CERTIFICATE_QUIRKS,
        *LIST_QUIRKS,
    )

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._numbers = itertools.count(1)

    def source(self, api_base: str) -> dict[str, Any]:
        contract, headers = "{api_base}/contracts/{document}", {"Authorization": "Bearer {api_key}"}
        return {
            "provider": "generic",
            "secrets": [self.secret],
            "values": {"api_base": api_base, "api_key": self.api_key},
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
            "list": {
                "get": "{api_base}/contracts?finished_since={since:%Y-%m-%dT%H:%M:%SZ}&page={page}",
                "headers": headers,
                "rows": "/contracts",
                "name": "/title",
                "completed": "/finished",
                "newest_first": True,
                "total": "/total",
            },
        }

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        self.sign(document, title, size)
        kinds = ("contract.signed_by_one", "contract.completed")
        return self.sent(partial(self._callback, self._payload(kind, document)) for kind in kinds)

    def _payload(self, kind: str, document: str) -> bytes:
        data = {"contract_id": document, "title": self.signed[document].title}
        event = {"id": f"e-{next(self._numbers)}", "type": kind, "time": int(self.clock()), "data": data}
        return json.dumps(event, separators=(",", ":")).encode()

    def _callback(self, body: bytes) -> RawRequest:
        return RawRequest(
            headers=(("content-type", "application/json"), ("x-signature", self.timed_signature(body))), body=body
        )

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        return self.app(
            self._guard,
            {
                "GET /contracts/<path:document>/certificate": self._certificate,
                "GET /contracts/<path:document>": self._contract,
                "GET /contracts": self._list,
            },
        )

    def _guard(self) -> Response | None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.api_key}".encode()):
            return said(401, error="unauthorised")
        return self.trouble(lambda status, after: said(status, after, error="made on demand"))

    def _contract(self, document: str) -> Response:
        title = self._found(document).title
        if self.shown.take("not_ready"):
            return said(200, status="signing", data={"title": title})
        return said(200, status="finished", data={"title": title, "url": self.link(document)})

    def _list(self) -> Response:
        signed, total = self.listed(int(request.args["page"]), 50)
        rows = [{"id": one.id, "title": one.title, "finished": one.finished} for one in signed]
        return said(200, contracts=rows, total=total)

    def _certificate(self, document: str) -> Response:
        self._found(document)
        if self.shown.take("certificate_late"):
            return said(404, error="no certificate yet")
        return Response(self.document_bytes(document, "certificate"), mimetype="application/pdf")

    def _found(self, document: str) -> Signed:
        return self.found(document, lambda: said(404, error="no such contract"))

"""OKdokument as it looks from outside: `sendinfo` callbacks without a signature, metadata, documents and the list."""

import hmac
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from flask import Response, jsonify, request

from ..core.ports import Simulator
from ..core.types import RawRequest
from .account import Account, Signed, made_up, said
from .quirks import API_QUIRKS, CALLBACK_QUIRKS, FILE_QUIRKS

UNTOLD_QUIRKS = ("callback_failed",)
"""The callback meets an error: the document is left in the state `errorsendinfo`, however its signer decided."""

_ZONE = "Europe/Bratislava"


class OkdokumentSimulator(Account, Simulator):
    """One account; its callbacks carry the secret in the query. A round is one callback, so that `reorder` shows only
    between rounds, or where they are sent twice."""

    provider = "okdokument"
    quirks = (*CALLBACK_QUIRKS, *UNTOLD_QUIRKS, *FILE_QUIRKS, *API_QUIRKS)

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._rounds: dict[str, list[str]] = {}
        self._states: dict[str, str] = {}

    def source(self, api_base: str) -> dict[str, Any]:
        return {"provider": "okdokument", "secrets": [self.secret], "api_key": self.api_key, "api_base": api_base}

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        """The signer pressed Submit. A document that was signed before enters its next round, with other bytes."""
        return self._enter("signed", document, title, size)

    def cancel(self, document: str) -> list[RawRequest]:
        """The signer pressed Cancel."""
        return self._enter("canceled", document)

    def _enter(self, state: str, document: str, title: str = "", size: int = 0) -> list[RawRequest]:
        rounds = self._rounds.setdefault(document, [])
        rounds.append(str(uuid4()))
        later = f", round {len(rounds)}" if len(rounds) > 1 else ""
        self._states[document] = state
        self.sign(document, (title or f"Contract {document}") + later, size)
        if self.shown.take("callback_failed"):
            self._states[document] = "errorsendinfo"
            return []
        return self.sent([lambda: self._callback(document, state)])

    def _callback(self, document: str, state: str) -> RawRequest:
        said = {"state": state, "id": document, "signatureRequestId": self._rounds[document][-1]}
        token = made_up(64) if self.shown.take("wrong_signature") else self.secret
        return RawRequest(
            query=f"token={token}",
            headers=(("content-type", "application/json"),),
            body=json.dumps(said, separators=(",", ":")).encode(),
        )

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        return self.app(
            self._guard,
            {
                "GET /JSON/document/metadata/<path:document>": self._metadata,
                "GET /JSON/document/<path:document>": self._document,
                "GET /JSON/list/flat": self._list,
            },
        )

    def _guard(self) -> Response | None:
        given = request.headers.get("x-api-key", "")
        if not hmac.compare_digest(given.encode(), self.api_key.encode()):
            return _error(401, "err.unauthorized")
        return self.trouble(lambda status, after: _error(status, "err.on.demand", after=after))

    def _metadata(self, document: str) -> Response:
        found = self._described(self._found(document))
        if self.shown.take("not_ready"):
            found["state"] = "tosign"
        return jsonify(found)

    def _document(self, document: str) -> Response:
        """The documentation gives these bytes the type application/json, so that is what they come with."""
        self._found(document)
        return self.shown.file(self.document_bytes(document), "application/json")

    def _list(self) -> Response:
        wanted = request.args.get("state", "*")
        rows = [self._described(signed) for signed in list(self.signed.values())]
        url = f"{request.host_url}rest/document/"
        return jsonify(
            [{**row, "url": url + row["id"], "group": "api_user"} for row in rows if wanted in ("*", row["state"])]
        )

    def _described(self, signed: Signed) -> dict[str, Any]:
        milliseconds = round(signed.finished * 1000)
        return {
            "filename": f"{signed.title}.pdf",
            "state": self._states[signed.id],
            "modification": datetime.fromtimestamp(signed.finished, ZoneInfo(_ZONE)).strftime("%Y-%m-%d %H:%M:%S"),
            "id": signed.id,
            "date": milliseconds,
            "number": str(milliseconds - 9),
        }

    def _found(self, document: str) -> Signed:
        return self.found(document, lambda: _error(404, "err.not.found", value=document))


def _error(status: int, message: str, *, after: float | None = None, **more: str) -> Response:
    return said(status, after, message=message, **more)

"""Index Health as it looks from outside: its API and links to files, and the hook that its users send themselves."""

import itertools
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flask import Response, jsonify, request

from ..core.ports import Simulator
from ..core.types import RawRequest
from .account import Account, Signed, made_up
from .papers import Paper, paper
from .quirks import (
    API_QUIRKS,
    CALLBACK_QUIRKS,
    FILE_QUIRKS,
    LINK_QUIRKS,
    ROTATION_QUIRKS,
    TIMED_QUIRKS,
    TOKEN_QUIRKS,
)

_COLLECTION = "collection-1"
_USER = {"first_name": "Jo", "last_name": "Doe", "uid": "u-1", "group_name": "acme"}
_TOKEN_LIFE = 3600
_TYPES = {".pdf": "PDF", ".docx": "DOCX", ".txt": "TXT"}


class IndexHealthSimulator(Account, Simulator):
    """One client with one collection. The extension of a title tells the type of its file, PDF where there is none.

    With `in_body` errors come as an envelope with HTTP status 200: the documentation leaves open which it is.
    """

    provider = "indexhealth"
    quirks = (
        *CALLBACK_QUIRKS,
        *TIMED_QUIRKS,
        *ROTATION_QUIRKS,
        *FILE_QUIRKS,
        *LINK_QUIRKS,
        *API_QUIRKS,
        *TOKEN_QUIRKS,
    )

    def __init__(self, *, in_body: bool = False, **given: Any) -> None:
        super().__init__(**given)
        self.in_body = in_body
        self.fingerprint = made_up(32)
        self.processed: dict[str, int] = {}
        """The progress of documents that are not processed to their end."""
        self._tokens: dict[str, float] = {}
        self._numbers = itertools.count(1)

    def source(self, api_base: str) -> dict[str, Any]:
        return {
            "provider": "indexhealth",
            "secrets": [self.secret],
            "api_base": api_base,
            "client_id": "client-1",
            "client_secret": self.api_key,
            "fingerprint": self.fingerprint,
            "user": dict(_USER),
            "collections": [_COLLECTION],
        }

    def document_bytes(self, document: str, part: str = "document") -> bytes:
        signed = self.signed[document]
        return paper(signed.signed).content(signed.signed if part == "document" else part, signed.size)

    # --- the hook -------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        self.sign(document, title, size)
        kinds = ("document.created", "document.ready")
        return self.sent(partial(self._callback, self._event(kind, document)) for kind in kinds)

    def _event(self, kind: str, document: str) -> bytes:
        return json.dumps({"id": f"e-{next(self._numbers)}", "type": kind, "document_id": document}).encode()

    def _callback(self, body: bytes) -> RawRequest:
        return RawRequest(
            headers=(("content-type", "application/json"), ("x-signature", self.timed_signature(body))), body=body
        )

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        return self.app(
            self._guard,
            {
                "POST /generate-client-auth-token": self._login,
                "POST /get-document-details": self._details,
                "POST /get-documents": self._list,
                "POST /download": self._link,
                "GET /download/<path:document>": self._download,
                "GET /files/<token>": self._file,
            },
        )

    def _guard(self) -> Response | None:
        if request.path == "/generate-client-auth-token":
            return None
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.shown.take("token_expired"):
            self._tokens.pop(token, None)
        if self.clock() >= self._tokens.get(token, 0.0):
            return self._error(403, "UNAUTHORIZED")
        return self.trouble(lambda status, after: self._error(status, "SERVER_FAULT", after=after))

    def _login(self) -> Response:
        """The two successes of the documentation in turn."""
        if self.shown.take("token_down"):
            return self._error(503, "SERVER_FAULT")
        given = _sent()
        if not {"client_id", "client_secret", "fingerprint", "user"} <= given.keys():
            return self._error(400, "Missing required fields: client_id, client_secret, fingerprint, user")
        wanted = {"client_id": "client-1", "client_secret": self.api_key}
        if not wanted.items() <= given.items():
            return self._error(401, "Invalid client credentials")
        token = self._token()
        if len(self._tokens) % 2:
            return jsonify(statusCode=200, data={"access_token": token}, message="OKAY")
        return jsonify(status=200, data={"auth_token": token})

    def _token(self) -> str:
        until = int(self.clock()) + _TOKEN_LIFE
        parts = ({"alg": "HS256", "typ": "JWT"}, {"domain": "acme", "user_uid": "u-1", "exp": until})
        encoded = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        token = ".".join([*encoded, made_up(64)])
        self._tokens[token] = until
        return token

    def _details(self) -> Response:
        signed = self._found(_sent().get("document_id"))
        if self.shown.take("not_ready"):
            return self._error(437, "ENTRY_NOT_FOUND")
        return _okay({**self._row(signed), "associated_plans": []})

    def _list(self) -> Response:
        if _sent().get("collection_id") != _COLLECTION:
            return self._error(437, "NOT_FOUND")
        every = sorted(self.signed.values(), key=lambda signed: signed.finished, reverse=True)
        return _okay([{**self._row(one), "avg_progress": self.processed.get(one.id, 100)} for one in every])

    def _link(self) -> Response:
        return _okay({"download_url": self.link(self._found(_sent().get("document_id")).id)})

    def _download(self, document: str) -> Response:
        signed = self._found(document)
        answer = self.shown.file(self.document_bytes(document), _paper(signed).mime, name=_file_name(signed))
        answer.headers["Cache-Control"] = "no-cache"
        return answer

    def _file(self, token: str) -> Response:
        document, *_ = self._links.get(token, ("",))
        return self.linked_file(token, kind=_paper(self.signed[document]).mime if document else "")

    def _row(self, signed: Signed) -> dict[str, Any]:
        extension = _paper(signed).extension
        return {
            "document_id": signed.id,
            "document_name": signed.title,
            "document_type": _TYPES.get(extension, "IMG"),
            "collection_id": _COLLECTION,
            "document_file_path": f"documents/file{extension}",
            "created_at": _iso(signed.finished),
            "updated_at": _iso(signed.finished),
        }

    def _found(self, document: Any) -> Signed:
        return self.found(str(document), lambda: self._error(437, "Document not found"))

    def _error(self, code: int, message: str, *, after: float | None = None) -> Response:
        """A gateway's 429 and 503 are always HTTP."""
        answer = jsonify(statusCode=code, data={}, message=message)
        answer.status_code = 200 if self.in_body and code not in (429, 503) else code
        if after is not None:
            answer.headers["Retry-After"] = str(round(after))
        return answer


def _okay(data: Any) -> Response:
    return jsonify(statusCode=200, data=data, message="OKAY")


def _sent() -> dict[str, Any]:
    body = request.get_json(silent=True)
    return body if isinstance(body, dict) else {}


def _paper(signed: Signed) -> Paper:
    return paper(signed.signed)


def _file_name(signed: Signed) -> str:
    extension = _paper(signed).extension
    return signed.title if signed.title.lower().endswith(extension) else signed.title + extension


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

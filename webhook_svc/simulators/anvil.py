"""Anvil as it looks from outside: callbacks with the token, the questions about packets, the files of one as a ZIP."""

import hmac
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Response, jsonify, request

from ..core.ports import Simulator
from ..core.types import RawRequest
from ..signing.wrapped import wrapped
from .account import Account, Signed, made_up, said
from .quirks import API_QUIRKS, CALLBACK_QUIRKS, FILE_QUIRKS

_ORGANIZATION: Final = "acme"
_FILES: Final = "files-of-"
_ZIP: Final = "application/zip"


@cache
def _key_pair() -> rsa.RSAPrivateKey:
    """One for all organisations: to make one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class AnvilSimulator(Account, Simulator):
    """One organisation. A document is a packet, whose files have an id of their own. With `encrypted` the organisation
    has a key pair, and what callbacks are about is encrypted with it."""

    provider = "anvil"
    quirks = (*CALLBACK_QUIRKS, *FILE_QUIRKS, *API_QUIRKS)

    def __init__(self, *, encrypted: bool = False, **given: Any) -> None:
        super().__init__(**given)
        self.encrypted = encrypted

    def source(self, api_base: str) -> dict[str, Any]:
        table = {"provider": "anvil", "secrets": [self.secret], "api_key": self.api_key, "organization": _ORGANIZATION}
        key = {"private_key": _pem()} if self.encrypted else {}
        return {**table, **key, "api_base": api_base, "graphql_base": api_base}

    def document_bytes(self, document: str, part: str = "document") -> bytes:
        """The same bytes on every machine."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(zipfile.ZipInfo("document.pdf"), super().document_bytes(document, part))
        return packed.getvalue()

    # --- callbacks ------------------------------------------------------------------------------------------------

    def finish(self, document: str, *, title: str = "", size: int = 0) -> list[RawRequest]:
        """The last signer signs, which completes the packet."""
        signed = self.sign(document, title, size)
        packet = _packet(signed)
        signer = {"eid": f"signer-of-{signed.id}", "status": "completed", "routingOrder": 1}
        told = {**signer, "etchPacket": {"eid": packet["eid"]}, "documentGroup": packet["documentGroup"]}
        complete = {**packet, "signers": [signer], "isTest": False}
        events = (("signerComplete", told), ("etchPacketComplete", complete))
        return self.sent(partial(self._callback, action, data) for action, data in events)

    def _callback(self, action: str, data: Mapping[str, Any]) -> RawRequest:
        token = made_up(64) if self.shown.take("wrong_signature") else self.secret
        body = {"action": action, "token": token, "data": self._sealed(data) if self.encrypted else data}
        headers = (("content-type", "application/json"),)
        return RawRequest(headers=headers, body=json.dumps(body, separators=(",", ":")).encode())

    def _sealed(self, data: Mapping[str, Any]) -> str:
        return wrapped(json.dumps(data).encode(), _key_pair().public_key(), os.urandom)

    # --- the API --------------------------------------------------------------------------------------------------

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        return self.app(
            self._guard, {"POST /": self._graphql, "GET /api/document-group/<path:document>.zip": self._files}
        )

    def _guard(self) -> Response | None:
        given = request.authorization.username if request.authorization else None
        if not hmac.compare_digest((given or "").encode(), self.api_key.encode()):
            return said(401, name="AuthorizationError", message="Not logged in")
        return self.trouble(lambda status, after: said(status, after, name="Error", message="made on demand"))

    def _graphql(self) -> Response:
        asked = request.get_json()
        given = asked["variables"]
        if "etchPacket(" in asked["query"]:
            return jsonify(data={"etchPacket": self._told(self._found(given["eid"]))})
        signed, _ = self.listed(given["offset"] // given["limit"] + 1, given["limit"])
        items = [_packet(one) for one in signed]
        return jsonify(data={"organization": {"etchPackets": {"items": items}}})

    def _told(self, signed: Signed) -> dict[str, Any]:
        return {**_packet(signed), **({"status": "sent"} if self.shown.take("not_ready") else {})}

    def _files(self, document: str) -> Response:
        found = self._found(document.removeprefix(_FILES) if document.startswith(_FILES) else "")
        return self.shown.file(self.document_bytes(found.id), _ZIP)

    def _found(self, document: str) -> Signed:
        return self.found(document, partial(said, 404, name="NotFoundError", message="Not found"))


def _packet(signed: Signed) -> dict[str, Any]:
    at = datetime.fromtimestamp(signed.finished, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "eid": signed.id,
        "name": signed.title,
        "status": "completed",
        "updatedAt": at,
        "completedAt": at,
        "documentGroup": {"eid": _FILES + signed.id, "status": "completed"},
    }


def _pem() -> str:
    return (
        _key_pair()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )

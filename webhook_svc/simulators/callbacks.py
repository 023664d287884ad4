"""Callbacks as a description says that they look: filled, put into their form, signed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from ..core.settings import Secret
from ..core.types import RawRequest
from ..profiles.asked import filled
from ..profiles.simulate import Simulate
from ..signing.reading import Place
from ..signing.sign import sign, signed_message
from ..signing.verify import VerifySettings
from .filling import typed

_BOUNDARY = "----boundary-of-the-form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Those of one sender."""

    verify: VerifySettings
    simulated: Simulate

    def signed(self, names: Mapping[str, str], keys: Mapping[str, str]) -> RawRequest:
        """One callback. `keys` holds the secret as `signature`, and while two are in use the former one as `old`.
        ValueError where nobody can sign like that."""
        if self.verify.message == "{base}":
            return self._signed_message(self._request({**names, "signature": ""}), int(names["ts"]), keys)
        text = self._signature(self._bare(names), names, keys)
        placed = self._request({**names, "signature": text})
        place = Place.parse(self.verify.signature) if text else None
        if place and place.kind == "header":
            return _with_header(placed, place.name, text)
        if place and place.kind == "query":
            return _with_query(placed, f"{place.name}={quote(text, safe='')}")
        return placed

    def _bare(self, names: Mapping[str, str]) -> RawRequest:
        """What is signed; a header that is to carry the signature says already what else it says."""
        bare, empty = self._request({**names, "signature": ""}), {**names, "signature": "", "old": ""}
        place = Place.parse(self.verify.signature) if self.verify.signature else None
        if place is None or place.kind != "header":
            return bare
        return _with_header(bare, place.name, filled(self.simulated.signature, empty))

    def _signature(self, bare: RawRequest, names: Mapping[str, str], keys: Mapping[str, str]) -> str:
        """What stands at the signature's place; "" where nothing is signed."""
        verify = self.verify
        if verify.alg == "none":
            return ""
        values = {name: names[name] for name in ("ts", "id") if name in verify.vars}
        by = {name: sign(verify, Secret(key), bare, values=values) for name, key in keys.items()}
        text = self.simulated.rotated if "old" in by else self.simulated.signature
        return str(filled(text, {**names, **by}))

    def _signed_message(self, bare: RawRequest, at: int, keys: Mapping[str, str]) -> RawRequest:
        """RFC 9421. What is covered are headers: of our address the sender of a simulation knows nothing yet."""
        verify = self.verify
        key = Secret(keys.get("old", keys["signature"]))
        return signed_message(verify, key, bare, created=at, keyid=next(iter(verify.keyids), ""))

    def _request(self, names: Mapping[str, str]) -> RawRequest:
        content = json.dumps(typed(self.simulated.callback, names), separators=(",", ":")).encode()
        kind, body = self._body(content, names)
        headers = [("content-type", kind)]
        headers += [(name.lower(), filled(text, names)) for name, text in self.simulated.headers.items()]
        return RawRequest(headers=tuple(headers), body=body)

    def _body(self, content: bytes, names: Mapping[str, str]) -> tuple[str, bytes]:
        form, _, field = self.verify.body_view.partition(":")
        if form == "multipart":
            head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n'
            body = head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
            return f"multipart/form-data; boundary={_BOUNDARY}", body
        if form == "form":
            fields = {**filled(self.simulated.form, names), **({field: content} if field else json.loads(content))}
            return "application/x-www-form-urlencoded", urlencode(fields).encode()
        return "application/json", content


def _with_header(request: RawRequest, name: str, value: str) -> RawRequest:
    return RawRequest(headers=(*request.headers, (name, value)), query=request.query, body=request.body)


def _with_query(request: RawRequest, query: str) -> RawRequest:
    return RawRequest(headers=request.headers, query=query, body=request.body)

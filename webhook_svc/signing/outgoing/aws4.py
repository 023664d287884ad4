"""AWS Signature Version 4 for requests that go out: the library signs, our own client sends."""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import requests
from requests_aws4auth import AWS4Auth

from ...core.outgoing import Request
from ...core.settings import Secret

NOTHING: Final = hashlib.sha256(b"").hexdigest()
"""The hash of no body at all."""

_SIGNED: Final = ("host", "content-type", "if-none-match", "x-amz-*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aws4Key:
    access_key_id: Secret
    secret_access_key: Secret
    session_token: Secret | None
    region: str
    service: str = "s3"


def sign(request: Request, key: Aws4Key, payload_sha256: str, now: float) -> Request:
    """The request as it has to be sent; what vouches for us stands in `auth`.

    The steps of AWS4Auth are called one by one because calling it whole would read the body into memory.
    Header values hold no quotes: the library splits them like a shell.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "x-amz-date": stamp, "x-amz-content-sha256": payload_sha256}
    token = {"x-amz-security-token": key.session_token.reveal()} if key.session_token else {}
    access_key_id = key.access_key_id.reveal()
    signer = AWS4Auth(access_key_id, key.secret_access_key.reveal(), key.region, key.service, stamp[:8])
    prepared = requests.Request(request.method, request.url, headers={**headers, **token}).prepare()
    canonical_headers, names = signer.get_canonical_headers(prepared, _SIGNED)
    canonical = signer.get_canonical_request(prepared, canonical_headers, names)
    scope = signer.signing_key.scope
    text = signer.get_sig_string(prepared, canonical, scope)
    signature = hmac.digest(signer.signing_key.key, text.encode(), "sha256").hex()
    vouched = f"AWS4-HMAC-SHA256 Credential={access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return replace(request, url=str(prepared.url), headers=headers, auth={**token, "Authorization": vouched})

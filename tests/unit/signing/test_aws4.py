"""The signature of outgoing requests against the examples in Amazon's documentation and against botocore."""

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import NoReturn

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from webhook_svc.core.outgoing import Request, Upload
from webhook_svc.core.settings import Secret
from webhook_svc.signing.outgoing.aws4 import Aws4Key, sign

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
MAY_2013 = 1369353600.0
KEY = Aws4Key(
    access_key_id=Secret("AKIAIOSFODNN7EXAMPLE"),
    secret_access_key=Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    session_token=None,
    region="us-east-1",
)


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_the_documented_examples_come_out(query: str, signature: str) -> None:
    signed = sign(Request(url=f"https://examplebucket.s3.amazonaws.com/?{query}"), KEY, NOTHING, MAY_2013)
    assert signature == signed.auth["Authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize("token", [None, Secret("a session token/+=")])
@pytest.mark.parametrize(
    "url",
    [
        "https://b.s3.eu-central-1.amazonaws.com/a/b.pdf",
        "http://127.0.0.1:9000/bucket/2026/%EA%B3%84%EC%95%BD%20%28x%29~%2B%25.pdf",
        "https://[::1]:9000/bucket/a%21%27%2A%3B%3D%40%26%24%2C.pdf",
    ],
)
def test_botocore_signs_the_same(url: str, token: Secret | None) -> None:
    headers = {"Content-Type": "application/pdf", "If-None-Match": "*", "x-amz-meta-sha256": "ab" * 32}
    key = replace(KEY, session_token=token)
    signed = sign(Request(url=url, method="PUT", headers=headers), key, "cd" * 32, MAY_2013)
    assert _by_botocore(url, key, signed.headers) == signed.auth["Authorization"]


def test_the_body_is_not_read() -> None:
    def untouchable() -> NoReturn:
        raise AssertionError("opened")

    body = Upload(open=untouchable, size=10**12)
    signed = sign(Request(url="https://h.example/k", method="PUT", body=body), KEY, "cd" * 32, MAY_2013)
    assert body is signed.body


def test_what_vouches_for_us_is_kept_apart_and_not_shown() -> None:
    key = replace(KEY, session_token=Secret("tell-nobody"))
    signed = sign(Request(url="https://h.example/k", body=BytesIO().read()), key, NOTHING, MAY_2013)
    assert {"Authorization", "x-amz-security-token"} == set(signed.auth)
    assert [] == [word for word in ("tell-nobody", "Signature", "AKIA") if word in repr(signed)]


def _by_botocore(url: str, key: Aws4Key, headers: Mapping[str, str]) -> str:
    """Botocore takes its time from the wall; the date that we sent is put in its place."""
    token = key.session_token.reveal() if key.session_token else None
    credentials = Credentials(key.access_key_id.reveal(), key.secret_access_key.reveal(), token)
    request = AWSRequest("PUT", url, headers=dict(headers))
    request.context["timestamp"] = "20130524T000000Z"
    if token:
        request.headers["x-amz-security-token"] = token
    signer = S3SigV4Auth(credentials, "s3", key.region)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    scope = f"{key.access_key_id.reveal()}/{signer.credential_scope(request)}"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"

"""Azure's Shared Key against the strings that Microsoft's documentation signs, and against a key of ours.

learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key, 22 November 2026. The documentation names no
key, so its signatures cannot be computed again; the emulator of the contract suite checks ours.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from io import BytesIO

import pytest

from webhook_svc.core.outgoing import Request, Upload
from webhook_svc.core.settings import Secret
from webhook_svc.signing.outgoing.shared_key import SharedKey, sign, string_to_sign

DATED = {"x-ms-version": "2015-02-21", "x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT"}
CONTAINER = "https://myaccount.blob.core.windows.net/mycontainer"


@pytest.mark.parametrize(
    ("method", "url", "signed"),
    [
        (
            "GET",
            f"{CONTAINER}?comp=metadata&restype=container&timeout=20",
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
            "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20",
        ),
        (
            "PUT",
            f"{CONTAINER}?restype=container&timeout=30",
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
            "/myaccount/mycontainer\nrestype:container\ntimeout:30",
        ),
    ],
)
def test_the_documentation_signs_the_same_string(method: str, url: str, signed: str) -> None:
    assert signed == string_to_sign(Request(method=method, url=url, headers=DATED), "myaccount")


@pytest.mark.parametrize(
    ("query", "resource"),
    [
        ("", "/myaccount/mycontainer"),
        ("?restype=container&comp=metadata", "/myaccount/mycontainer\ncomp:metadata\nrestype:container"),
        (
            "?restype=container&comp=list&include=snapshots&include=metadata&include=uncommittedblobs",
            "/myaccount/mycontainer\ncomp:list\ninclude:metadata,snapshots,uncommittedblobs\nrestype:container",
        ),
        ("?Prefix=a%2Fb%20c&marker=", "/myaccount/mycontainer\nmarker:\nprefix:a/b c"),
    ],
)
def test_the_query_is_signed_by_name_in_order_and_decoded(query: str, resource: str) -> None:
    signed = string_to_sign(Request(url=CONTAINER + query, headers=DATED), "myaccount")
    assert resource == signed.partition("x-ms-version:2015-02-21\n")[2]


def test_the_path_is_signed_as_it_stands_in_the_address() -> None:
    signed = string_to_sign(Request(url=f"{CONTAINER}/a%20b/%EA%B3%84.pdf", headers=DATED), "myaccount")
    assert signed.endswith("\n/myaccount/mycontainer/a%20b/%EA%B3%84.pdf")


def test_every_standard_header_has_its_line() -> None:
    headers = {
        "Content-MD5": "sQqNsWTgdUEFt6mb5y4/5Q==",
        "content-type": "text/plain; charset=UTF-8",
        "If-None-Match": "*",
        "x-ms-meta-m2": "v2",
        "X-Ms-Meta-M1": "v1",
        "Accept": "unsigned",
        **DATED,
    }
    body = Upload(open=lambda: BytesIO(b"hello world"), size=11)
    signed = string_to_sign(Request(method="PUT", url=f"{CONTAINER}/b", headers=headers, body=body), "myaccount")
    assert [
        *("PUT", "", "", "11", "sQqNsWTgdUEFt6mb5y4/5Q==", "text/plain; charset=UTF-8", "", "", "", "*", "", ""),
        *("x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-meta-m1:v1", "x-ms-meta-m2:v2", "x-ms-version:2015-02-21"),
        "/myaccount/mycontainer/b",
    ] == signed.split("\n")


@pytest.mark.parametrize("body", [None, b"", Upload(open=BytesIO, size=0)])
def test_the_length_of_nothing_is_not_signed(body: bytes | Upload | None) -> None:
    signed = string_to_sign(Request(method="PUT", url=CONTAINER, headers=DATED, body=body), "myaccount")
    assert "" == signed.split("\n")[3]


def test_the_signature_is_an_hmac_by_the_decoded_key() -> None:
    key = b64encode(b"a key of sixteen").decode()
    request = Request(url=CONTAINER, headers=DATED)
    sent = sign(request, SharedKey(account="myaccount", key=Secret(key)))
    text = string_to_sign(request, "myaccount").encode()
    expected = b64encode(hmac.new(b64decode(key), text, hashlib.sha256).digest()).decode()
    assert {"Authorization": f"SharedKey myaccount:{expected}"} == dict(sent.auth)
    assert "Authorization" not in sent.headers

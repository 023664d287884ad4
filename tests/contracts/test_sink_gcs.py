"""What the Cloud Storage sink makes of everything that the service may answer, against a strict stand-in.

cloud.google.com/storage/docs/xml-api/reference-status, developers.google.com/identity/protocols/oauth2/service-account
(read 2026-11-22).
"""

import hashlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from webhook_svc.core.errors import Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.ports import Http
from webhook_svc.core.settings import Secret, Url
from webhook_svc.sinks.gcs import Gcs, GcsSettings

from .rigs.base import make_sink
from .rigs.gcs import GcsRig, Object, md5
from .rigs.google import service_account_key
from .rigs.servers import Servers
from .rigs.standin import Refusal

NAME = "contracts/doc-1/deed.pdf"
DEED = b"%PDF-1.7 deed %%EOF"
AFTER = {"Retry-After": "17"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def rig(servers: Servers, tmp_path: Path, start: ExitStack) -> GcsRig:
    return GcsRig(servers, tmp_path, start)


@pytest.fixture
def make(rig: GcsRig) -> Any:
    """A sink that delivers files alone, with these settings beside those of the rig."""
    return lambda **changes: make_sink("gcs", {**rig.common, "manifest": False, **changes})


def methods(rig: GcsRig) -> list[str]:
    return [method for method, _ in rig.place.seen]


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_put_is_conditional_and_carries_its_hashes(make: Any, rig: GcsRig, bundle: Any) -> None:
    make(storage_class="NEARLINE").deliver(bundle().delivery(), None)
    headers = next(headers for method, headers in rig.place.seen if method == "PUT")
    assert {
        "content-type": "application/pdf",
        "content-length": str(len(DEED)),
        "content-md5": md5(DEED),
        "x-goog-if-generation-match": "0",
        "x-goog-meta-sha256": sha256(DEED),
        "x-goog-storage-class": "NEARLINE",
    }.items() <= headers.items()
    assert "transfer-encoding" not in headers


def test_the_md5_that_the_service_keeps_is_the_proof(make: Any, rig: GcsRig, bundle: Any) -> None:
    receipt = make().deliver(bundle().delivery(), None)
    assert "MD5 that the service checked and keeps" == receipt.proof
    assert f"gs://{rig.common['bucket']}/{NAME}" == receipt.location
    assert ["PUT", "HEAD"] == methods(rig)


def test_what_is_large_is_looked_for_before_it_is_sent(make: Any, rig: GcsRig, bundle: Any) -> None:
    files = {NAME: DEED * 500_000}
    make().deliver(bundle(files=files).delivery(), None)
    rig.place.seen.clear()
    assert make().deliver(bundle(files=files).delivery(), None).found
    assert ["HEAD"] == methods(rig)


# --- what is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (Refusal(400, "BadDigest"), Retryable, "400 BadDigest"),
        (Refusal(400, "CrcMismatch"), Retryable, "400 CrcMismatch"),
        (Refusal(400, "IncompleteBody"), Retryable, "IncompleteBody"),
        (Refusal(400, "InvalidArgument"), Permanent, "400 InvalidArgument"),
        (Refusal(400, "InvalidStorageClass"), Permanent, "InvalidStorageClass"),
        (Refusal(400, "EntityTooLarge"), Permanent, "EntityTooLarge"),
        (Refusal(401, "AuthenticationRequired"), Retryable, "401 AuthenticationRequired"),
        (Refusal(403, "AccessDenied"), Retryable, "403 AccessDenied"),
        (Refusal(403, "AccountProblem"), Retryable, "403 AccountProblem"),
        (Refusal(403, "UserProjectAccountProblem"), Retryable, "UserProjectAccountProblem"),
        (Refusal(404, "NoSuchBucket"), Permanent, "404 NoSuchBucket"),
        (Refusal(405, "MethodNotAllowed"), Permanent, "405"),
        (Refusal(408, "UploadBrokenConnection"), Retryable, "408"),
        (Refusal(409, "OperationAborted"), Retryable, "409"),
        (Refusal(411, "MissingContentLength"), Permanent, "411"),
        (Refusal(429, "SlowDown", AFTER), Retryable, "429 SlowDown"),
        (Refusal(500, "InternalError"), Retryable, "500 InternalError"),
        (Refusal(502, "Backend"), Retryable, "502"),
        (Refusal(503, "ServiceUnavailable", AFTER), Retryable, "503 ServiceUnavailable"),
        (Refusal(503, "no <b>word"), Retryable, "was 503$"),
    ],
    ids=lambda value: f"{value.status} {value.code}" if isinstance(value, Refusal) else None,
)  # fmt: skip
def test_the_answer_decides_the_fate(
    make: Any, rig: GcsRig, bundle: Any, fault: Refusal, fate: type[WebhookError], said: str
) -> None:
    rig.place.faults = [("PUT", fault)] * 2  # a 401 is tried with a new token
    with pytest.raises(WebhookError, match=said) as caught:
        make().deliver(bundle().delivery(), None)
    assert fate is type(caught.value)
    assert {} == rig.place.objects
    assert (17 if fault.headers else None) == getattr(caught.value, "after", None)


@pytest.mark.parametrize("may_delete", [True, False], ids=["412", "403"])
def test_an_object_that_stands_there_is_compared_however_it_is_said(
    make: Any, rig: GcsRig, bundle: Any, may_delete: bool
) -> None:
    rig.place.may_delete = may_delete
    make().deliver(bundle().delivery(), None)
    assert make().deliver(bundle().delivery(), None).found
    rig.place.objects[NAME] = Object(b"another", md5(b"another"))
    with pytest.raises(Conflict):
        make().deliver(bundle().delivery(), None)
    assert b"another" == rig.place.objects[NAME].content


@pytest.mark.parametrize("fault", [Refusal(412, "PreconditionFailed"), Refusal(403, "AccessDenied")])
def test_an_object_that_is_gone_when_it_is_compared_is_tried_again(
    make: Any, rig: GcsRig, bundle: Any, fault: Refusal
) -> None:
    rig.place.faults = [("PUT", fault)]
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), None)


@pytest.mark.parametrize(
    "planted",
    [
        Object(DEED, md5(DEED)),
        Object(DEED, md5(DEED), sha256(b"another")),
        Object(DEED, "", sha256(DEED)),
        Object(DEED, md5(b"another"), sha256(DEED)),
    ],
    ids=["no metadata", "other metadata", "no MD5", "other MD5"],
)
def test_what_does_not_prove_itself_is_read_back(make: Any, rig: GcsRig, bundle: Any, planted: Object) -> None:
    rig.place.objects[NAME] = planted
    receipt = make().deliver(bundle().delivery(), None)
    assert ("read back and hashed", True) == (receipt.proof, receipt.found)


def test_bytes_of_the_same_size_and_with_our_claim_are_no_proof(make: Any, rig: GcsRig, bundle: Any) -> None:
    rig.place.objects[NAME] = Object(DEED[::-1], md5(DEED[::-1]), sha256(DEED))
    with pytest.raises(Conflict):
        make().deliver(bundle().delivery(), None)


def test_on_request_every_object_is_read_back(make: Any, rig: GcsRig, bundle: Any) -> None:
    assert "read back and hashed" == make(verify="read").deliver(bundle().delivery(), None).proof
    assert ["PUT", "HEAD", "GET"] == methods(rig)


@pytest.mark.parametrize(("method", "verify"), [("HEAD", "head"), ("GET", "read")])
def test_what_may_not_be_looked_at_is_no_receipt(make: Any, rig: GcsRig, bundle: Any, method: str, verify: str) -> None:
    rig.place.faults = [(method, Refusal(403, "AccessDenied"))]
    with pytest.raises(Retryable, match="403"):
        make(verify=verify).deliver(bundle().delivery(), None)


def test_check_says_what_is_wrong(make: Any, rig: GcsRig) -> None:
    rig.place.faults = [("GET", Refusal(403, "AccessDenied"))]
    with pytest.raises(Retryable, match="listing the bucket: the answer was 403 AccessDenied"):
        make().check()
    with pytest.raises(Permanent, match="404 NoSuchBucket"):
        make(bucket="another").check()


# --- the service account ------------------------------------------------------------------------------------------


def test_one_login_serves_all_requests(make: Any, rig: GcsRig, bundle: Any) -> None:
    before, sink = rig.storage.login.count, make()
    sink.check()
    sink.deliver(bundle().delivery(), None)
    assert 1 == rig.storage.login.count - before


@pytest.mark.parametrize("verify", ["head", "read"])
def test_a_token_that_is_refused_is_renewed_in_the_middle(make: Any, rig: GcsRig, bundle: Any, verify: str) -> None:
    sink = make(verify=verify)
    sink.deliver(bundle(files={"a/one.pdf": DEED}).delivery(), None)
    rig.storage.login.given.clear()
    sink.deliver(bundle(files={"a/two.pdf": DEED}).delivery(), None)
    assert {"a/one.pdf", "a/two.pdf"} == set(rig.place.objects)


@pytest.mark.parametrize("changes", [{"private_key_id": "deleted"}, {"client_email": "nobody@acme.example"}])
def test_a_key_that_is_refused_is_tried_later_and_says_why(
    make: Any, rig: GcsRig, bundle: Any, changes: dict[str, str]
) -> None:
    key = service_account_key(f"{rig.front.address}/token", **changes)
    with pytest.raises(Retryable, match="logging in: the answer was 400 invalid_grant") as caught:
        make(key=key).deliver(bundle().delivery(), None)
    assert "nobody" not in str(caught.value)
    assert {} == rig.place.objects


def test_the_service_and_what_the_key_names_are_the_hosts_that_are_trusted() -> None:
    sink = Gcs("archive", settings(), cast(Http, None))
    assert {"https://storage.googleapis.com:443", "https://oauth2.googleapis.com:443"} == sink.hosts()


# --- names and settings -------------------------------------------------------------------------------------------


def test_a_name_of_more_than_1024_bytes_is_given_up(make: Any, bundle: Any) -> None:
    with pytest.raises(Permanent, match="1024"):
        make(prefix="p" * 1020).deliver(bundle().delivery(), None)


def test_a_name_that_google_keeps_for_itself_is_given_up(make: Any, bundle: Any) -> None:
    with pytest.raises(Permanent, match="InvalidObjectName"):
        make().deliver(bundle(files={".well-known/acme-challenge/doc-1": DEED}).delivery(), None)


def test_the_prefix_stands_before_every_name(make: Any, rig: GcsRig, bundle: Any) -> None:
    make(prefix="/signed docs/all/", manifest=True).deliver(bundle().delivery(), None)
    assert {f"signed docs/all/{NAME}", "signed docs/all/contracts/doc-1/manifest.json"} == set(rig.place.objects)


def settings(**changes: Any) -> GcsSettings:
    return GcsSettings(**{"bucket": "acme-signed", "key": Secret(service_account_key()), **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"bucket": "a"}, "bucket name"),
        ({"bucket": "../other"}, "bucket name"),
        ({"endpoint": Url("https://user:pw@storage.example")}, "endpoint"),
        ({"endpoint": Url("https://storage.example/?a=b")}, "endpoint"),
        ({"prefix": "a/../b"}, "prefix"),
        ({"prefix": "/.well-known/acme-challenge/"}, "prefix"),
        ({"storage_class": "A\r\nb: c"}, "storage_class"),
        ({"key": Secret("key.json")}, "JSON file"),
        ({"key": Secret("[]")}, "JSON file"),
        ({"key": Secret('{"type": "authorized_user"}')}, "JSON file"),
        ({"key": Secret(service_account_key(client_email=""))}, "client_email"),
        ({"key": Secret(service_account_key(private_key=7))}, "private_key"),
        ({"key": Secret(service_account_key(private_key="hunter2"))}, "RSA private key"),
        ({"key": Secret(service_account_key(token_uri="nowhere"))}, "host"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_word_of_the_key(
    changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        settings(**changes)
    assert "hunter2" not in str(caught.value)


def test_a_key_without_an_address_for_tokens_takes_googles() -> None:
    said = json.loads(service_account_key())
    del said["token_uri"]
    sink = Gcs("archive", settings(key=Secret(json.dumps(said))), cast(Http, None))
    assert "https://oauth2.googleapis.com:443" in sink.hosts()

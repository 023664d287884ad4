"""What the S3 sink makes of everything a store may answer, against a strict stand-in that checks what it is sent."""

import hashlib
import socket
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from webhook_svc.core.errors import ArtifactLost, ClaimLost, Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret, Url, host_of
from webhook_svc.http import HttpClient
from webhook_svc.sinks.s3 import S3, S3Settings

NOW = 1_790_000_000.0
KEY = "contracts/doc-1/deed.pdf"
DEED = b"%PDF-1.7 deed %%EOF"


@dataclass
class Fault:
    """What one PUT is answered with instead. `stores` first, as a server does whose answer is lost on the way."""

    status: int = 0  # 0: the connection is reset
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    stores: bool = False


@dataclass
class Bucket:
    """A store that believes nothing: hashes, lengths and conditions are checked as at Amazon."""

    objects: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    conditional: bool = True
    heeds: bool = True
    """Without it, a condition is taken and makes no difference."""
    keeps_checksums: bool = True
    tells_sizes: bool = True
    forbids: str = ""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, key: str, headers: Mapping[str, str], body: bytes) -> Fault:
        sha256 = hashlib.sha256(body)
        if headers["x-amz-content-sha256"] != sha256.hexdigest():
            return Fault(400, "XAmzContentSHA256Mismatch")
        if headers["x-amz-checksum-sha256"] != b64encode(sha256.digest()).decode():
            return Fault(400, "BadDigest")
        if "if-none-match" in headers and not self.conditional:
            return Fault(501, "NotImplemented")
        if "if-none-match" in headers and key in self.objects and self.heeds:
            return Fault(412, "PreconditionFailed")
        fault = self.faults.pop(0) if self.faults else Fault(200, stores=True)
        if fault.stores:
            self.objects[key] = body
        return fault


class Stub(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        key = self._arrived()
        body = self.rfile.read(int(self.headers["content-length"]))
        if len(body) == int(self.headers["content-length"]):
            self._answer(self.bucket.put(key, {name.lower(): value for name, value in self.headers.items()}, body))

    def do_HEAD(self) -> None:
        key = self._arrived()
        content = self.bucket.objects.get(key)
        if content is None or self.bucket.forbids == "HEAD":
            self._answer(Fault(403 if self.bucket.forbids == "HEAD" else 404), head=True)
            return
        self.send_response(200)
        if self.bucket.tells_sizes:
            self.send_header("Content-Length", str(len(content)))
        if self.bucket.keeps_checksums and self.headers["x-amz-checksum-mode"] == "ENABLED":
            self.send_header("x-amz-checksum-sha256", b64encode(hashlib.sha256(content).digest()).decode())
        self.end_headers()

    def do_GET(self) -> None:
        content = self.bucket.objects[self._arrived()]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _arrived(self) -> str:
        assert self.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
        self.bucket.seen.append((self.command, {name.lower(): value for name, value in self.headers.items()}))
        return unquote(urlsplit(self.path).path).removeprefix("/acme-signed/")

    def _answer(self, fault: Fault, *, head: bool = False) -> None:
        if not fault.status:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        body = f"<Error><Code>{fault.code}</Code><Message>{KEY} hunter2</Message></Error>".encode()
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0" if head else str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that is reset is what the test wants."""


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def endpoint(bucket: Bucket) -> Iterator[str]:
    server = Quiet(("127.0.0.1", 0), type("Bound", (Stub,), {"bucket": bucket}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def settings(**changes: Any) -> S3Settings:
    common = {"bucket": "acme-signed", "access_key_id": Secret("AKID"), "secret_access_key": Secret("hunter2")}
    return S3Settings(**{**common, **changes})


@pytest.fixture
def make(endpoint: str) -> Iterator[Callable[..., S3]]:
    clients: list[HttpClient] = []

    def _make(**changes: Any) -> S3:
        wanted = settings(endpoint=Url(endpoint), **changes)
        clients.append(HttpClient(trusted=frozenset({host_of(wanted.address())}), read_timeout=2))
        return S3("archive", wanted, clients[-1], clock=lambda: NOW)

    yield _make
    for client in clients:
        client.close()


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_put_is_conditional_signed_and_carries_its_hashes(make: Any, bucket: Bucket, bundle: Any) -> None:
    make(storage_class="STANDARD_IA", encryption="AES256").deliver(bundle().delivery(), None)
    headers = next(headers for method, headers in bucket.seen if method == "PUT")
    sha256 = hashlib.sha256(DEED)
    assert {
        "if-none-match": "*",
        "content-type": "application/pdf",
        "content-length": str(len(DEED)),
        "x-amz-content-sha256": sha256.hexdigest(),
        "x-amz-checksum-sha256": b64encode(sha256.digest()).decode(),
        "x-amz-meta-sha256": sha256.hexdigest(),
        "x-amz-date": "20260921T141320Z",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-server-side-encryption": "AES256",
    }.items() <= headers.items()
    assert "transfer-encoding" not in headers


def test_the_prefix_stands_before_every_name(make: Any, bucket: Bucket, bundle: Any) -> None:
    receipt = make(prefix="/signed/all/").deliver(bundle().delivery(), None)
    assert {"signed/all/" + KEY, "signed/all/contracts/doc-1/manifest.json"} == set(bucket.objects)
    assert receipt.location == "s3://acme-signed/signed/all/" + KEY


def test_the_claim_is_asked_for_directly_before_the_last_bytes_leave(make: Any, bucket: Bucket, bundle: Any) -> None:
    """Lost during a long upload, it still stops the object from becoming visible."""
    content = DEED * 100_000
    stream = BytesIO(content)

    def lost() -> None:
        assert len(content) == stream.tell()
        raise ClaimLost

    delivery = replace(bundle(files={KEY: content}, still_ours=lost).delivery(), open=lambda _: stream)
    with pytest.raises(ClaimLost):
        make().deliver(delivery, None)
    assert {} == bucket.objects


def test_a_copy_damaged_after_its_last_byte_never_leaves_whole(make: Any, bucket: Bucket, bundle: Any) -> None:
    with pytest.raises(ArtifactLost):
        make().deliver(bundle(files={KEY: DEED}, lost={"deed.pdf": len(DEED)}).delivery(), None)
    assert {} == bucket.objects


def test_a_name_of_more_than_1024_bytes_is_given_up(make: Any, bundle: Any) -> None:
    with pytest.raises(Permanent, match="1024"):
        make(prefix="p" * 1020).deliver(bundle().delivery(), None)


# --- what is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (Fault(400, "BadDigest"), Retryable, "400 BadDigest"),
        (Fault(400, "XAmzContentSHA256Mismatch"), Retryable, "XAmzContentSHA256Mismatch"),
        (Fault(400, "RequestTimeout"), Retryable, "RequestTimeout"),
        (Fault(400, "IncompleteBody"), Retryable, "IncompleteBody"),
        (Fault(400, "ExpiredToken"), Retryable, "400 ExpiredToken"),
        (Fault(400, "InvalidToken"), Retryable, "400 InvalidToken"),
        (Fault(400, "InvalidArgument"), Permanent, "400 InvalidArgument"),
        (Fault(400, "AuthorizationHeaderMalformed", {"x-amz-bucket-region": "eu-west-3"}), Permanent, "eu-west-3"),
        (Fault(301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-3"}), Permanent, "eu-west-3"),
        (Fault(301, "PermanentRedirect", {"Location": "http://127.0.0.1:1/"}), Permanent, "301 PermanentRedirect"),
        (Fault(307, "TemporaryRedirect", {"Location": "http://127.0.0.1:1/"}), Retryable, "307 TemporaryRedirect"),
        (Fault(401, "Unauthorized"), Retryable, "401 Unauthorized"),
        (Fault(403, "AccessDenied"), Retryable, "403 AccessDenied"),
        (Fault(403, "InvalidAccessKeyId"), Retryable, "403 InvalidAccessKeyId"),
        (Fault(403, "SignatureDoesNotMatch"), Retryable, "403 SignatureDoesNotMatch"),
        (Fault(403, "RequestTimeTooSkewed"), Retryable, "RequestTimeTooSkewed"),
        (Fault(404, "NoSuchBucket"), Permanent, "404 NoSuchBucket"),
        (Fault(405, "MethodNotAllowed"), Permanent, "405"),
        (Fault(409, "ConditionalRequestConflict"), Retryable, "ConditionalRequestConflict"),
        (Fault(409, "OperationAborted"), Retryable, "OperationAborted"),
        (Fault(413, "EntityTooLarge"), Permanent, "EntityTooLarge"),
        (Fault(429, "TooManyRequests", {"Retry-After": "17"}), Retryable, "429"),
        (Fault(500, "InternalError"), Retryable, "500 InternalError"),
        (Fault(502), Retryable, "502"),
        (Fault(503, "SlowDown", {"Retry-After": "17"}), Retryable, "503 SlowDown"),
        (Fault(504), Retryable, "504"),
        (Fault(), Retryable, "127.0.0.1"),
    ],
    ids=lambda value: f"{value.status} {value.code}" if isinstance(value, Fault) else None,
)  # fmt: skip
def test_the_answer_decides_the_fate(
    make: Any, bucket: Bucket, bundle: Any, fault: Fault, fate: type[WebhookError], said: str
) -> None:
    bucket.faults = [fault]
    with pytest.raises(WebhookError, match=said) as caught:
        make().deliver(bundle().delivery(), None)
    assert fate is type(caught.value)
    assert {} == bucket.objects
    assert (17 if "Retry-After" in fault.headers else None) == getattr(caught.value, "after", None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("fault", [Fault(500, "InternalError", stores=True), Fault(stores=True)], ids=["500", "reset"])
def test_a_write_whose_answer_was_lost_is_found_by_the_retry(
    make: Any, bucket: Bucket, bundle: Any, fault: Fault
) -> None:
    bucket.faults = [fault]
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), None)
    make(manifest=False).deliver(bundle().delivery(), None)
    assert make(manifest=False).deliver(bundle().delivery(), None).found
    assert {KEY: DEED} == bucket.objects


def test_the_checksum_that_the_server_keeps_is_the_proof(make: Any, bucket: Bucket, bundle: Any) -> None:
    receipt = make(manifest=False).deliver(bundle().delivery(), None)
    assert "checksum of the stored object" == receipt.proof
    assert ["HEAD", "PUT", "HEAD"] == [method for method, _ in bucket.seen]


@pytest.mark.parametrize("verify", ["head", "read"])
def test_without_a_checksum_or_on_request_the_object_is_read_back(
    make: Any, bucket: Bucket, bundle: Any, verify: str
) -> None:
    bucket.keeps_checksums = verify == "read"
    receipt = make(manifest=False, verify=verify).deliver(bundle().delivery(), None)
    assert "read back and hashed" == receipt.proof
    assert ["HEAD", "PUT", "HEAD", "GET"] == [method for method, _ in bucket.seen]


@pytest.mark.parametrize("keeps_checksums", [True, False])
def test_other_bytes_of_the_same_size_are_a_conflict(
    make: Any, bucket: Bucket, bundle: Any, keeps_checksums: bool
) -> None:
    bucket.keeps_checksums = keeps_checksums
    bucket.objects[KEY] = DEED[::-1]
    with pytest.raises(Conflict):
        make().deliver(bundle().delivery(), None)
    assert {KEY: DEED[::-1]} == bucket.objects


def test_a_longer_object_whose_size_is_not_told_is_a_conflict(make: Any, bucket: Bucket, bundle: Any) -> None:
    bucket.objects[KEY] = DEED + b"longer"
    bucket.keeps_checksums = bucket.tells_sizes = False
    with pytest.raises(Conflict):
        make().deliver(bundle().delivery(), None)


def test_an_object_that_is_gone_right_after_the_write_is_looked_for_again(
    make: Any, bucket: Bucket, bundle: Any
) -> None:
    bucket.faults = [Fault(200)]
    with pytest.raises(Retryable, match="cannot be seen"):
        make().deliver(bundle().delivery(), None)


def test_what_may_not_be_looked_at_is_no_receipt(make: Any, bucket: Bucket, bundle: Any) -> None:
    bucket.forbids = "HEAD"
    with pytest.raises(Retryable, match="403"):
        make().deliver(bundle().delivery(), None)


# --- servers without conditional writes ---------------------------------------------------------------------------


def test_auto_looks_first_where_the_server_has_no_conditions(make: Any, bucket: Bucket, bundle: Any) -> None:
    bucket.conditional = False
    receipt = make(manifest=False).deliver(bundle().delivery(), None)
    assert ["HEAD", "PUT", "HEAD", "PUT", "HEAD"] == [method for method, _ in bucket.seen]
    assert {KEY: DEED} == bucket.objects
    assert "If-None-Match" in receipt.details["notes"][0]


def test_auto_asks_a_server_without_conditions_only_once(make: Any, bucket: Bucket, bundle: Any) -> None:
    bucket.conditional = False
    sink = make(manifest=False)
    sink.deliver(bundle().delivery(), None)
    bucket.seen.clear()
    assert sink.deliver(bundle().delivery(), None).found
    assert ["HEAD"] == [method for method, _ in bucket.seen]


def test_a_501_alone_counts_for_its_object(make: Any, bucket: Bucket, bundle: Any) -> None:
    """It may come from a proxy in between."""
    bucket.faults = [Fault(501)]
    sink = make(manifest=False)
    assert "If-None-Match" in sink.deliver(bundle().delivery(), None).details["notes"][0]
    assert "notes" not in sink.deliver(bundle(files={"another.pdf": DEED}).delivery(), None).details
    assert [True, False, True] == ["if-none-match" in headers for method, headers in bucket.seen if method == "PUT"]


def test_a_store_that_takes_the_condition_and_ignores_it_is_looked_at_first(
    make: Any, bucket: Bucket, bundle: Any
) -> None:
    bucket.heeds = False
    bucket.objects[KEY] = b"another contract"
    with pytest.raises(Conflict):
        make().deliver(bundle().delivery(), None)
    assert {KEY: b"another contract"} == bucket.objects


def test_the_condition_stands_guard_between_look_and_write(make: Any, bucket: Bucket, bundle: Any) -> None:
    def slip_in() -> None:
        bucket.objects.setdefault(KEY, b"another contract")

    with pytest.raises(Conflict):
        make().deliver(bundle(still_ours=slip_in).delivery(), None)
    assert {KEY: b"another contract"} == bucket.objects


def test_on_does_not_look_first(make: Any, bucket: Bucket, bundle: Any) -> None:
    make(create_only="on", manifest=False).deliver(bundle().delivery(), None)
    assert ["PUT", "HEAD"] == [method for method, _ in bucket.seen]


def test_before_a_large_object_it_is_always_looked(
    make: Any, bucket: Bucket, bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that refuses a long body need not read it to its end, and then its answer may be lost."""
    monkeypatch.setattr(S3, "large", len(DEED) - 1)
    bucket.objects[KEY] = DEED
    assert make(create_only="on", manifest=False).deliver(bundle().delivery(), None).found
    assert ["HEAD"] == [method for method, _ in bucket.seen]


def test_looking_first_never_writes_over_other_bytes(make: Any, bucket: Bucket, bundle: Any) -> None:
    bucket.objects[KEY] = b"others"
    with pytest.raises(Conflict):
        make(create_only="off").deliver(bundle().delivery(), None)
    assert {KEY: b"others"} == bucket.objects


def test_on_tries_again_after_a_501_alone(make: Any, bucket: Bucket, bundle: Any) -> None:
    bucket.faults = [Fault(501)]
    with pytest.raises(Retryable):
        make(create_only="on", manifest=False).deliver(bundle().delivery(), None)
    assert not make(create_only="on", manifest=False).deliver(bundle().delivery(), None).found


def test_on_insists_on_conditions(make: Any, bucket: Bucket, bundle: Any) -> None:
    bucket.conditional = False
    with pytest.raises(Permanent, match="If-None-Match"):
        make(create_only="on").deliver(bundle().delivery(), None)
    assert {} == bucket.objects


def test_off_sends_no_condition(make: Any, bucket: Bucket, bundle: Any) -> None:
    make(create_only="off").deliver(bundle().delivery(), None)
    assert [] == [headers for _, headers in bucket.seen if "if-none-match" in headers]


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "https://acme-signed.s3.us-east-1.amazonaws.com"),
        ({"region": "cn-north-1"}, "https://acme-signed.s3.cn-north-1.amazonaws.com.cn"),
        ({"bucket": "acme.signed"}, "https://s3.us-east-1.amazonaws.com/acme.signed"),
        ({"path_style": "on"}, "https://s3.us-east-1.amazonaws.com/acme-signed"),
        ({"endpoint": Url("https://r2.example:9000/")}, "https://r2.example:9000/acme-signed"),
        ({"endpoint": Url("https://r2.example"), "path_style": "off"}, "https://acme-signed.r2.example"),
    ],
)
def test_the_address_follows_from_bucket_region_and_endpoint(changes: dict[str, Any], address: str) -> None:
    assert address == settings(**changes).address()


def test_the_computed_host_is_the_one_that_is_trusted() -> None:
    sink = S3("archive", settings(), HttpClient(trusted=frozenset()))
    assert frozenset({"https://acme-signed.s3.us-east-1.amazonaws.com:443"}) == sink.hosts()


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_what_cannot_be_read_at_once_is_not_read_back(storage_class: str) -> None:
    assert "head" == settings(storage_class=storage_class).verify
    with pytest.raises(ValueError, match=f'verify = "head" with storage_class {storage_class}'):
        settings(storage_class=storage_class, verify="read")


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": "a"},
        {"bucket": "a/../b"},
        {"region": "eu-central-1.evil.example/"},
        {"prefix": "a/../b"},
        {"prefix": "a//b"},
        {"storage_class": "X\r\nx-evil: 1"},
        {"encryption": "a b"},
        {"endpoint": Url("https://user:pw@r2.example")},
        {"endpoint": Url("https://r2.example/?a=b")},
    ],
)
def test_settings_that_would_bend_a_request_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        settings(**changes)

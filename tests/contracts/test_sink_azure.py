"""What the Azure sink makes of what Blob Storage may answer: an emulator of Microsoft's for shared access signatures,
a strict stand-in for all that the emulator never says.

learn.microsoft.com/rest/api/storageservices/put-blob, …/blob-service-error-codes, …/create-service-sas, and
learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow, 22 November 2026.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret, Url
from webhook_svc.http import HttpClient
from webhook_svc.sinks.azure import Azure, AzureSettings

from .rigs.azure import ACCOUNT, KEY, AzureRig, shared_access
from .rigs.base import make_sink
from .rigs.servers import Servers, served

NOW = 1_790_000_000.0
NAME = "contracts/doc-1/deed.pdf"
DEED = b"%PDF-1.7 deed %%EOF"
CLIENT_SECRET = secret("client")
SAS = f"?sv=2021-12-02&sp=cr&se=2027-12-31T00%3A00%3A00Z&sig={secret('signature')}%3D"


def md5(content: bytes) -> str:
    return b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Blob:
    content: bytes
    md5: str | None
    sha256: str = ""


@dataclass(frozen=True)
class Fault:
    """What the next request of this method is answered with."""

    status: int
    code: str = ""
    method: str = "PUT"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Service:
    """A blob service that knows one container, one token at a time, and one shared access signature."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    token: str = secret("token-0")
    signature: str = SAS.lstrip("?")
    logins: list[dict[str, list[str]]] = field(default_factory=list)
    tells_md5: bool = True
    exists: tuple[int, str] = (409, "BlobAlreadyExists")

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        status, headers, content = self._answer(environ, environ["wsgi.input"].read(length))
        start_response(f"{status} x", [("Content-Length", str(len(content))), *headers.items()])
        return [content]

    def _answer(self, environ: dict[str, Any], body: bytes) -> tuple[int, dict[str, str], bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].encode("latin-1").decode()
        named = {name[5:].lower().replace("_", "-"): text for name, text in environ.items() if name.startswith("HTTP_")}
        named["content-type"] = environ.get("CONTENT_TYPE", "")
        self.seen.append((method, path, named))
        if path.endswith("/oauth2/v2.0/token"):
            return self._login(body)
        fault = next((one for one in self.faults if one.method == method), None)
        if fault:
            self.faults.remove(fault)
            return _said(fault.status, fault.code, fault.headers)
        if refusal := self._refusal(named, environ["QUERY_STRING"]):
            return refusal
        name = path.removeprefix("/signed/")
        assert name != path, "another container"
        return self._put(name, named, body) if method == "PUT" else self._look(name)

    def _login(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        form = parse_qs(body.decode())
        self.logins.append(form)
        if form["client_secret"] != [CLIENT_SECRET]:
            return 401, {"Content-Type": "application/json"}, b'{"error":"invalid_client","error_description":"no"}'
        self.token = secret(f"token-{len(self.logins)}")
        text = f'{{"token_type":"Bearer","expires_in":3599,"access_token":"{self.token}"}}'
        return 200, {"Content-Type": "application/json"}, text.encode()

    def _refusal(self, headers: Mapping[str, str], query: str) -> tuple[int, dict[str, str], bytes] | None:
        if headers["x-ms-version"] != "2021-12-02" or not headers["x-ms-date"].endswith(" GMT"):
            return _said(400, "InvalidHeaderValue")
        if query == self.signature or headers.get("authorization") == f"Bearer {self.token}":
            return None
        return _said(401, "InvalidAuthenticationInfo")

    def _put(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if headers["x-ms-blob-type"] != "BlockBlob" or headers["if-none-match"] != "*":
            return _said(400, "InvalidHeaderValue")
        if headers["content-md5"] != md5(body):
            return _said(400, "Md5Mismatch")
        if name in self.blobs:
            return _said(*self.exists)
        self.blobs[name] = Blob(body, md5(body) if self.tells_md5 else None, headers["x-ms-meta-sha256"])
        return 201, {}, b""

    def _look(self, name: str) -> tuple[int, dict[str, str], bytes]:
        if name not in self.blobs:
            return _said(404, "BlobNotFound")
        blob = self.blobs[name]
        headers = {"x-ms-meta-sha256": blob.sha256, "Content-Type": "application/pdf"}
        return 200, headers | ({"Content-MD5": blob.md5} if blob.md5 else {}), blob.content


def _said(status: int, code: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    text = f"<Error><Code>{code}</Code><Message>{secret('said')} {NAME}</Message></Error>"
    return status, {**({"x-ms-error-code": code} if code else {}), **(headers or {})}, text.encode()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def make(service: Service) -> Iterator[Callable[..., Azure]]:
    clients: list[HttpClient] = []
    with served(service) as address:

        def _make(**changes: Any) -> Azure:
            wanted = settings(endpoint=Url(address), login=Url(address), **changes)
            hosts = Azure("archive", wanted, HttpClient(trusted=frozenset())).hosts()
            clients.append(HttpClient(trusted=hosts, read_timeout=5))
            return Azure("archive", wanted, clients[-1], clock=lambda: NOW)

        yield _make
    for client in clients:
        client.close()


def settings(**changes: Any) -> AzureSettings:
    given = {"sas_token": Secret(SAS)} if not {"account_key", "sas_token", "client_secret"} & changes.keys() else {}
    return AzureSettings(**{"account": ACCOUNT, "container": "signed", "manifest": False, **given, **changes})


APPLICATION = {"client_secret": Secret(CLIENT_SECRET), "client_id": "app-1", "tenant": "acme.example"}


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_put_is_conditional_and_carries_its_hashes(make: Any, service: Service, bundle: Any) -> None:
    make(tier="Cool").deliver(bundle().delivery(), None)
    headers = next(headers for method, _, headers in service.seen if method == "PUT")
    assert {
        "if-none-match": "*",
        "content-type": "application/pdf",
        "content-md5": md5(DEED),
        "x-ms-blob-type": "BlockBlob",
        "x-ms-meta-sha256": sha256(DEED),
        "x-ms-access-tier": "Cool",
        "x-ms-date": "Mon, 21 Sep 2026 14:13:20 GMT",
        "x-ms-version": "2021-12-02",
    }.items() <= headers.items()
    assert "transfer-encoding" not in headers


def test_the_md5_that_the_service_keeps_is_the_proof(make: Any, service: Service, bundle: Any) -> None:
    receipt = make().deliver(bundle().delivery(), None)
    assert "MD5 that the service checked and keeps" == receipt.proof
    assert ["PUT", "HEAD"] == [method for method, _, _ in service.seen]


def test_what_is_large_is_looked_for_before_it_is_sent(make: Any, service: Service, bundle: Any) -> None:
    files = {NAME: DEED * 500_000}
    make().deliver(bundle(files=files).delivery(), None)
    service.seen.clear()
    assert make().deliver(bundle(files=files).delivery(), None).found
    assert {"HEAD"} == {method for method, _, _ in service.seen}


# --- what is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (Fault(400, "Md5Mismatch"), Retryable, "400 Md5Mismatch"),
        (Fault(400, "InvalidUri"), Permanent, "400 InvalidUri"),
        (Fault(400, "OutOfRangeInput"), Permanent, "OutOfRangeInput"),
        (Fault(400, "InvalidHeaderValue"), Permanent, "InvalidHeaderValue"),
        (Fault(401, "NoAuthenticationInformation"), Retryable, "401 NoAuthenticationInformation"),
        (Fault(403, "AuthenticationFailed"), Retryable, "403 AuthenticationFailed"),
        (Fault(403, "AuthorizationPermissionMismatch"), Retryable, "AuthorizationPermissionMismatch"),
        (Fault(403, "AuthorizationFailure"), Retryable, "AuthorizationFailure"),
        (Fault(403, "AccountIsDisabled"), Retryable, "AccountIsDisabled"),
        (Fault(403, "InsufficientAccountPermissions"), Retryable, "InsufficientAccountPermissions"),
        (Fault(404, "ContainerNotFound"), Permanent, "404 ContainerNotFound"),
        (Fault(405, "UnsupportedHttpVerb"), Permanent, "405"),
        (Fault(409, "ContainerBeingDeleted"), Retryable, "409 ContainerBeingDeleted"),
        (Fault(409, "AccountBeingCreated"), Retryable, "409 AccountBeingCreated"),
        (Fault(411, "MissingContentLengthHeader"), Permanent, "411"),
        (Fault(413, "RequestBodyTooLarge"), Permanent, "413 RequestBodyTooLarge"),
        (Fault(429, "TooManyRequests", headers={"Retry-After": "17"}), Retryable, "429"),
        (Fault(500, "InternalError"), Retryable, "500 InternalError"),
        (Fault(500, "OperationTimedOut"), Retryable, "500 OperationTimedOut"),
        (Fault(503, "ServerBusy", headers={"Retry-After": "17"}), Retryable, "503 ServerBusy"),
        (Fault(503, "a word? <b>no"), Retryable, "was 503$"),
    ],
    ids=lambda value: f"{value.status} {value.code}" if isinstance(value, Fault) else None,
)  # fmt: skip
def test_the_answer_decides_the_fate(
    make: Any, service: Service, bundle: Any, fault: Fault, fate: type[WebhookError], said: str
) -> None:
    service.faults = [fault]
    with pytest.raises(WebhookError, match=said) as caught:
        make().deliver(bundle().delivery(), None)
    assert fate is type(caught.value)
    assert {} == service.blobs
    assert (17 if "Retry-After" in fault.headers else None) == getattr(caught.value, "after", None)


EXISTS = [
    (409, "BlobAlreadyExists"),
    (409, "BlobImmutableDueToPolicy"),
    (412, "ConditionNotMet"),
    (412, "LeaseIdMissing"),
    (403, "UnauthorizedBlobOverwrite"),
]


@pytest.mark.parametrize("exists", EXISTS)
def test_a_blob_that_stands_there_is_compared_however_it_is_said(
    make: Any, service: Service, bundle: Any, exists: tuple[int, str]
) -> None:
    service.exists = exists
    make().deliver(bundle().delivery(), None)
    assert make().deliver(bundle().delivery(), None).found
    service.blobs[NAME] = Blob(b"another", md5(b"another"))
    with pytest.raises(Conflict):
        make().deliver(bundle().delivery(), None)
    assert b"another" == service.blobs[NAME].content


@pytest.mark.parametrize("exists", EXISTS)
def test_a_blob_that_is_gone_when_it_is_compared_is_tried_again(
    make: Any, service: Service, bundle: Any, exists: tuple[int, str]
) -> None:
    service.faults = [Fault(*exists)]
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), None)


@pytest.mark.parametrize(
    "planted",
    [
        Blob(DEED, md5(DEED)),
        Blob(DEED, md5(DEED), sha256(b"another")),
        Blob(DEED, None, sha256(DEED)),
        Blob(DEED, md5(b"another"), sha256(DEED)),
    ],
    ids=["no metadata", "other metadata", "no MD5", "other MD5"],
)
def test_what_does_not_prove_itself_is_read_back(make: Any, service: Service, bundle: Any, planted: Blob) -> None:
    service.blobs[NAME] = planted
    receipt = make().deliver(bundle().delivery(), None)
    assert ("read back and hashed", True) == (receipt.proof, receipt.found)


def test_bytes_of_the_same_size_and_with_our_claim_are_no_proof(make: Any, service: Service, bundle: Any) -> None:
    service.blobs[NAME] = Blob(DEED[::-1], md5(DEED[::-1]), sha256(DEED))
    with pytest.raises(Conflict):
        make().deliver(bundle().delivery(), None)


def test_on_request_every_blob_is_read_back(make: Any, service: Service, bundle: Any) -> None:
    assert "read back and hashed" == make(verify="read").deliver(bundle().delivery(), None).proof
    assert ["PUT", "HEAD", "GET"] == [method for method, _, _ in service.seen]


@pytest.mark.parametrize(("method", "verify"), [("HEAD", "head"), ("GET", "read")])
def test_what_may_not_be_looked_at_is_no_receipt(
    make: Any, service: Service, bundle: Any, method: str, verify: str
) -> None:
    service.faults = [Fault(403, "AuthorizationPermissionMismatch", method)]
    with pytest.raises(Retryable, match="AuthorizationPermissionMismatch"):
        make(verify=verify).deliver(bundle().delivery(), None)


@pytest.mark.parametrize(
    ("fault", "fate"),
    [
        (Fault(404, "ContainerNotFound", "HEAD"), Permanent),
        (Fault(403, "AuthenticationFailed", "HEAD"), Retryable),
        (Fault(503, "ServerBusy", "HEAD"), Retryable),
    ],
)
def test_check_says_what_is_wrong(make: Any, service: Service, fault: Fault, fate: type[WebhookError]) -> None:
    service.faults = [fault]
    with pytest.raises(fate, match=fault.code):
        make().check()


# --- an application that logs in ----------------------------------------------------------------------------------


def test_an_application_logs_in_once_and_sends_its_token(make: Any, service: Service, bundle: Any) -> None:
    sink = make(**APPLICATION)
    sink.deliver(bundle().delivery(), None)
    sink.check()
    assert [
        {
            "grant_type": ["client_credentials"],
            "client_id": ["app-1"],
            "client_secret": [CLIENT_SECRET],
            "scope": ["https://storage.azure.com/.default"],
        }
    ] == service.logins
    assert "/acme.example/oauth2/v2.0/token" == service.seen[0][1]


@pytest.mark.parametrize("verify", ["head", "read"])
def test_a_token_that_is_refused_is_renewed_in_the_middle(
    make: Any, service: Service, bundle: Any, verify: str
) -> None:
    sink = make(**APPLICATION, verify=verify)
    sink.deliver(bundle(files={"a/one.pdf": DEED}).delivery(), None)
    service.token = "revoked"
    sink.deliver(bundle(files={"a/two.pdf": DEED}).delivery(), None)
    assert 2 == len(service.logins)
    assert {"a/one.pdf", "a/two.pdf"} == set(service.blobs)


def test_a_new_token_that_is_refused_as_well_is_tried_later(make: Any, service: Service, bundle: Any) -> None:
    service.faults = [Fault(401, "InvalidAuthenticationInfo")] * 2
    with pytest.raises(Retryable, match="401 InvalidAuthenticationInfo"):
        make(**APPLICATION).deliver(bundle().delivery(), None)
    assert {} == service.blobs


def test_a_login_that_is_refused_is_tried_later_and_says_why(make: Any, service: Service, bundle: Any) -> None:
    sink = make(**{**APPLICATION, "client_secret": Secret(secret("old"))})
    with pytest.raises(Retryable, match="401 invalid_client") as caught:
        sink.deliver(bundle().delivery(), None)
    assert secret("old") not in str(caught.value)
    assert {} == service.blobs


# --- a shared access signature, at the emulator -------------------------------------------------------------------


@pytest.fixture
def emulated(servers: Servers, tmp_path: Path, start: ExitStack) -> AzureRig:
    return AzureRig(servers, tmp_path, start)


def with_signature(rig: AzureRig, permissions: str) -> Azure:
    container = rig.sink.settings.container
    table = {"account": ACCOUNT, "container": container, "endpoint": rig.sink.settings.endpoint}
    sink = make_sink("azure", {**table, "sas_token": shared_access(container, permissions)})
    assert isinstance(sink, Azure)
    return sink


def test_a_signature_that_may_create_and_read_is_enough(emulated: AzureRig, bundle: Any, progress: Any) -> None:
    sink = with_signature(emulated, "cr")
    assert "ends at 2099-12-31T00:00:00Z" in sink.check()
    assert not sink.deliver(bundle().delivery(), progress).found
    assert sink.deliver(bundle().delivery(), progress).found
    assert emulated.expected(bundle()) == emulated.visible()


def test_a_signature_that_may_create_never_writes_over_others(emulated: AzureRig, bundle: Any, progress: Any) -> None:
    emulated.plant(NAME, b"another contract")
    with pytest.raises(Conflict):
        with_signature(emulated, "cr").deliver(bundle().delivery(), progress)
    assert {NAME: b"another contract"} == emulated.visible()


def test_a_signature_that_may_not_create_is_tried_later(emulated: AzureRig, bundle: Any, progress: Any) -> None:
    sink = with_signature(emulated, "r")
    with pytest.raises(Retryable, match="403") as caught:
        sink.deliver(bundle().delivery(), progress)
    assert "sig=" not in str(caught.value)
    assert {} == emulated.visible()


@pytest.mark.parametrize("text", ["?se=2027-12-31&sig=x", "sig=x&se=2027-12-31", "sig=x"])
def test_check_names_the_day_on_which_the_signature_ends(make: Any, service: Service, text: str) -> None:
    service.signature = text.lstrip("?")
    said = make(sas_token=Secret(text)).check()
    assert said.endswith("ends at 2027-12-31") == ("se=" in text)


# --- names, addresses, settings -----------------------------------------------------------------------------------


def test_a_name_of_more_than_1024_bytes_is_given_up(make: Any, bundle: Any) -> None:
    with pytest.raises(Permanent, match="1024"):
        make(prefix="p" * 1020).deliver(bundle().delivery(), None)


def test_the_prefix_stands_before_every_name(make: Any, service: Service, bundle: Any) -> None:
    receipt = make(prefix="/signed docs/all/", manifest=True).deliver(bundle().delivery(), None)
    assert {f"signed docs/all/{NAME}", "signed docs/all/contracts/doc-1/manifest.json"} == set(service.blobs)
    assert receipt.location.endswith(f"/signed/signed docs/all/{NAME}")
    assert f"/signed/signed docs/all/{NAME}" == unquote(service.seen[0][1])


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "https://acme.blob.core.windows.net/signed"),
        ({"endpoint": Url("https://acme.blob.core.chinacloudapi.cn/")}, "https://acme.blob.core.chinacloudapi.cn/signed"),
        ({"endpoint": Url("http://127.0.0.1:10000/acme")}, "http://127.0.0.1:10000/acme/signed"),
    ],
)  # fmt: skip
def test_the_address_follows_from_account_container_and_endpoint(changes: dict[str, Any], address: str) -> None:
    assert address == settings(**changes).address()


def test_service_and_login_are_the_hosts_that_are_trusted() -> None:
    sink = Azure("archive", settings(), HttpClient(trusted=frozenset()))
    assert {"https://acme.blob.core.windows.net:443", "https://login.microsoftonline.com:443"} == sink.hosts()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"account": "Acme"}, "account name"),
        ({"account": "a"}, "account name"),
        ({"account": "evil.example/"}, "account name"),
        ({"container": "a"}, "container name"),
        ({"container": "a--b"}, "container name"),
        ({"container": "../other"}, "container name"),
        ({"prefix": "a/../b"}, "prefix"),
        ({"endpoint": Url("https://user:pw@blob.example")}, "addresses"),
        ({"login": Url("https://login.example/?a=b")}, "addresses"),
        ({"tier": "Archive", "verify": "read"}, "Archive"),
        ({"sas_token": Secret(SAS), "account_key": Secret(KEY)}, "one of account_key"),
        ({"sas_token": None}, "one of account_key"),
        ({"sas_token": Secret("sv=2021&sp=r")}, "sas_token"),
        ({"sas_token": Secret("sig=a\r\nb: c")}, "sas_token"),
        ({"account_key": Secret("not base64!")}, "base64"),
        ({"client_secret": Secret("x"), "client_id": "app-1"}, "tenant"),
        ({"client_secret": Secret("x"), "client_id": "app-1", "tenant": "a/../b"}, "tenant"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        settings(**changes)

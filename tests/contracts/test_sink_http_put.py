"""What the plain PUT makes of addresses, of servers without conditions, and of those that let nobody look."""

import hashlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from werkzeug.wrappers import Request, Response

from tests.guard import secret
from webhook_svc.core.errors import ArtifactLost, Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.outgoing import Answer
from webhook_svc.core.settings import Secret, Url
from webhook_svc.sinks.http_put import HttpPut, HttpPutSettings
from webhook_svc.sinks.shared.address import FIELDS, Address

from .rigs.azure import AzureRig, shared_access
from .rigs.base import make_sink
from .rigs.front import Fault, Front, before
from .rigs.http_put import HttpPutRig
from .rigs.servers import Servers, served
from .rigs.standin import StandIn, must, only, reply

KEY = "contracts/doc-1/deed.pdf"
DEED = b"%PDF-1.7 deed %%EOF"
LOGIN = secret("login")


@pytest.fixture
def rig(servers: Servers, tmp_path: Path, start: ExitStack) -> HttpPutRig:
    return HttpPutRig(servers, tmp_path, start)


# --- the address ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("https://h.example/a/{path}", "https://h.example/a/2026/M%C3%BCller%20%26%20Co%3F.pdf"),
        ("https://h.example/{sha256}?name={path}&s=%2F", "https://h.example/ab12?name=2026%2FM%C3%BCller%20%26%20Co%3F.pdf&s=%2F"),
        ("https://h.example/{document}/{version}/{path}", "https://h.example/a%2Fb/1/2026/M%C3%BCller%20%26%20Co%3F.pdf"),
    ],
)  # fmt: skip
def test_what_is_put_in_is_encoded_for_its_place(template: str, rendered: str) -> None:
    values = {"path": "2026/Müller & Co?.pdf", "sha256": "ab12", "document": "a/b", "version": "1"}
    assert rendered == Address.of(Secret(template)).render(values)


@pytest.mark.parametrize("path", ["../other/deed.pdf", "a/./b", "a//b"])
def test_a_value_that_would_climb_is_refused(path: str) -> None:
    with pytest.raises(Permanent, match="path"):
        Address.of(Secret("https://h.example/a/{path}")).render(dict.fromkeys(FIELDS, path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"address": "https://{path}.example/"}, "host fixed"),
        ({"address": "https://h.example{path}"}, "host fixed"),
        ({"address": "https://bot:pw@h.example/{path}"}, "without user"),
        ({"address": "ftp://h.example/{path}"}, "address"),
        ({"address": "https://h.example/{path}#x"}, "fragment"),
        ({"address": "https://h.example/{pth}"}, "'path'"),
        ({"address": "https://h.example/{document}/{filename}"}, "would meet"),
        ({"address": "https://h.example/{path"}, "lone"),
        ({"address": None}, "address or an ask"),
        ({"ask": Url("https://h.example/sign")}, "address or an ask"),
        ({"address": None, "ask": Url("https://h.example/sign")}, "verify"),
        ({"headers": {"X-A": Secret("a\r\nb")}}, "headers"),
        ({"headers": {"X A": Secret("a")}}, "headers"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], said: str) -> None:
    given = {"address": "https://h.example/{path}?sig=hunter2", **changes}
    address = Secret(given["address"]) if given["address"] else None
    with pytest.raises(ValueError, match=said) as caught:
        HttpPutSettings(**{**given, "address": address})
    assert "hunter2" not in str(caught.value)


def test_a_receipt_names_the_place_and_not_the_signature(rig: HttpPutRig, bundle: Any, progress: Any) -> None:
    receipt = rig.sink.deliver(bundle().delivery(), progress)
    assert rig.front.address.removeprefix("http://") + ":" + KEY == receipt.location


# --- servers that can be looked at ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (Fault(status=400), Permanent, "writing: the answer was 400"),
        (Fault(status=403, headers={"x-ms-error-code": "AuthorizationFailure"}), Retryable, "403 AuthorizationFailure"),
        (Fault(status=403, body=b"<Error><Code>AccessDenied</Code></Error>"), Retryable, "403 AccessDenied"),
        (Fault(status=404), Permanent, "404"),
        (Fault(status=409), Retryable, "409"),
        (Fault(status=412), Permanent, "412"),
        (Fault(status=413), Permanent, "413"),
        (Fault(status=307, headers={"Location": "http://127.0.0.1:1/"}), Permanent, "final address"),
        (Fault(status=503, headers={"Retry-After": "9"}), Retryable, "503"),
    ],
)
def test_the_answer_to_a_put_decides_the_fate(
    rig: HttpPutRig, bundle: Any, progress: Any, fault: Fault, fate: type[WebhookError], said: str
) -> None:
    rig.front.meet(fault, at=1)
    with pytest.raises(fate, match=said) as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert {} == rig.visible()


def test_a_refusal_of_what_stands_there_already_is_no_failure(rig: HttpPutRig, bundle: Any, progress: Any) -> None:
    """Repositories word it in many ways: 400, 403, 409."""
    rig.front.meet(Fault(status=403, passes=True), at=1)
    receipt = rig.make(manifest=False).deliver(bundle().delivery(), progress)
    assert receipt.found
    assert {KEY: DEED} == rig.visible()


def test_what_slips_in_between_look_and_put_stays(rig: HttpPutRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle(still_ours=lambda: rig.plant(KEY, b"others")).delivery(), progress)
    assert {KEY: b"others"} == rig.visible()


@pytest.mark.parametrize(
    ("body", "for_all"), [(b"", False), (b"<Error><Code>NotImplemented</Code></Error>", True)], ids=["501", "its word"]
)
def test_where_the_server_knows_no_condition_the_look_is_all_and_the_receipt_says_so(
    rig: HttpPutRig, bundle: Any, progress: Any, body: bytes, for_all: bool
) -> None:
    """A 501 alone may come from a proxy: it counts for that file."""
    sink = rig.make(manifest=False)
    rig.front.meet(Fault(status=501, body=body), at=1)
    receipt = sink.deliver(bundle().delivery(), progress)
    assert ["HEAD", "PUT", "HEAD", "PUT"] == [method for method, _ in rig.front.seen][:4]
    assert "If-None-Match" in receipt.details["notes"][0]
    another = sink.deliver(bundle(files={"another.pdf": DEED}).delivery(), progress)
    assert for_all == ("notes" in another.details)


def test_a_longer_file_whose_size_is_not_told_is_a_conflict(rig: HttpPutRig, bundle: Any, progress: Any) -> None:
    rig.plant(KEY, DEED + b"longer")
    rig.front.meet(Fault(status=204), at=0)
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle().delivery(), progress)


def test_size_is_enough_of_a_proof_for_a_new_file_alone(rig: HttpPutRig, bundle: Any, progress: Any) -> None:
    sink = rig.make(verify="size", manifest=False)
    assert "size of the stored file" == sink.deliver(bundle().delivery(), progress).proof
    assert ["HEAD", "PUT", "HEAD"] == [method for method, _ in rig.front.seen]
    rig.plant(KEY, DEED[::-1])
    with pytest.raises(Conflict):
        sink.deliver(bundle().delivery(), progress)


def test_a_file_that_is_gone_right_after_the_put_is_no_receipt(rig: HttpPutRig, bundle: Any, progress: Any) -> None:
    rig.front.meet(Fault(status=200), at=1)
    with pytest.raises(Retryable, match="cannot be seen"):
        rig.sink.deliver(bundle().delivery(), progress)


# --- presigned addresses: nobody may look ---------------------------------------------------------------------------


class Signer(StandIn):
    """A service that presigns, and the store behind it, which knows an address for one PUT of one object alone.

    As S3 does: https://docs.aws.amazon.com/AmazonS3/latest/userguide/PresignedUrlUploadObject.html (read 2026-11-22).
    """

    routes = (("POST", "/sign", "sign"), ("PUT", "/store/(.+)", "put"))

    def __init__(self) -> None:
        self.address = ""
        self.objects: dict[str, bytes] = {}
        self.answer: Any = None

    def refused(self, refusal: Any) -> Response:
        return Response(f"<Error><Code>{refusal.code}</Code></Error>", refusal.status)

    def sign(self, request: Request) -> Response:
        must(request.headers.get("X-Login") == LOGIN, 401, "Unauthorized")
        asked = request.get_json()
        only(asked, ["path", "sha256", "size", "content_type"])
        url = f"{self.address}/store/{quote(asked['path'])}?X-Amz-Signature={self._signature(asked['path'])}"
        return reply(self.answer or {"url": url, "headers": {"X-Amz-Signed": asked.get("sha256") or "-"}})

    def put(self, request: Request, path: str) -> Response:
        must(request.args.get("X-Amz-Signature") == self._signature(path), 403, "SignatureDoesNotMatch")
        must(hashlib.sha256(request.data).hexdigest() == request.headers.get("X-Amz-Signed"), 400, "BadDigest")
        must(len(request.data) == request.content_length, 400, "IncompleteBody")
        must("X-Login" not in request.headers, 400, "RequestHeaderNotSigned")
        must(request.headers.get("If-None-Match") != "*" or path not in self.objects, 412, "PreconditionFailed")
        self.objects[path] = request.data
        return Response()

    def _signature(self, path: str) -> str:
        return secret(hashlib.sha256(path.encode()).hexdigest()[:20])


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
def front(signer: Signer, start: ExitStack) -> Front:
    front = start.enter_context(before(start.enter_context(served(signer))))
    signer.address = front.address
    return front


@pytest.fixture
def presigned(front: Front) -> Any:
    table = {"ask": f"{front.address}/sign", "headers": {"X-Login": LOGIN}, "verify": "none", "manifest": False}
    return lambda: make_sink("http_put", table)


def test_each_file_goes_to_the_address_that_was_signed_for_it(
    presigned: Any, signer: Signer, bundle: Any, progress: Any
) -> None:
    files = {KEY: DEED, "contracts/계약서.pdf": b"%PDF two"}
    assert "gives addresses" in presigned().check()
    receipt = presigned().deliver(bundle(files=files).delivery(), progress)
    assert files == signer.objects
    assert ("accepted by the server", False) == (receipt.proof, receipt.found)


def test_what_was_sent_before_the_answer_was_lost_counts_as_done(
    presigned: Any, front: Front, signer: Signer, bundle: Any, progress: Any
) -> None:
    front.meet(Fault(passes=True), at=1)
    with pytest.raises(Retryable):
        presigned().deliver(bundle().delivery(), progress)
    front.forget()
    assert presigned().deliver(bundle().delivery(), progress).found
    assert {KEY: DEED} == signer.objects


def test_what_was_there_before_the_first_try_is_a_conflict(
    presigned: Any, signer: Signer, bundle: Any, progress: Any
) -> None:
    signer.objects[KEY] = b"others"
    for _ in range(2):
        with pytest.raises(Conflict, match="there before"):
            presigned().deliver(bundle().delivery(), progress)
    assert {KEY: b"others"} == signer.objects


def test_a_copy_that_was_damaged_was_never_sent(presigned: Any, signer: Signer, bundle: Any, progress: Any) -> None:
    with pytest.raises(ArtifactLost):
        presigned().deliver(bundle(lost={"deed.pdf": 3}).delivery(), progress)
    signer.objects[KEY] = b"others"
    with pytest.raises(Conflict):
        presigned().deliver(bundle().delivery(), progress)


class Unreached:
    """A client that is refused every connection but that for the address."""

    def __init__(self, http: Any) -> None:
        self.http = http

    def call(self, request: Any, **_: Any) -> Any:
        if request.method == "PUT":
            raise Retryable("nobody there")
        return self.http.call(request)


def test_what_never_left_is_not_taken_for_ours(presigned: Any, signer: Signer, bundle: Any, progress: Any) -> None:
    sink = presigned()
    with pytest.raises(Retryable, match="nobody there"):
        HttpPut("archive", sink.settings, cast(Any, Unreached(sink.http))).deliver(bundle().delivery(), progress)
    signer.objects[KEY] = b"others"
    with pytest.raises(Conflict, match="there before"):
        presigned().deliver(bundle().delivery(), progress)


def test_what_a_server_refused_is_not_taken_for_ours(
    presigned: Any, front: Front, signer: Signer, bundle: Any, progress: Any
) -> None:
    front.meet(Fault(status=403), at=1)
    with pytest.raises(Retryable):
        presigned().deliver(bundle().delivery(), progress)
    front.forget()
    signer.objects[KEY] = b"others"
    with pytest.raises(Conflict, match="there before"):
        presigned().deliver(bundle().delivery(), progress)


def test_what_may_have_left_stays_ours_whatever_is_refused_later(
    presigned: Any, front: Front, signer: Signer, bundle: Any, progress: Any
) -> None:
    front.meet(Fault(passes=True), at=1)
    with pytest.raises(Retryable):
        presigned().deliver(bundle().delivery(), progress)
    front.meet(Fault(status=403), at=1)
    with pytest.raises(Retryable):
        presigned().deliver(bundle().delivery(), progress)
    front.forget()
    assert presigned().deliver(bundle().delivery(), progress).found
    assert {KEY: DEED} == signer.objects


def test_what_is_done_is_not_sent_again(presigned: Any, front: Front, bundle: Any, progress: Any) -> None:
    files = {"a/one.pdf": b"1", "a/two.pdf": b"2"}
    with pytest.raises(ArtifactLost):
        presigned().deliver(bundle(files=files, lost={"two.pdf": 0}).delivery(), progress)
    front.forget()
    presigned().deliver(bundle(files=files).delivery(), progress)
    assert ["POST", "PUT"] == [method for method, _ in front.seen]


@pytest.mark.parametrize("answer", [{"link": "x"}, {"url": 7}, {"url": "http://127.0.0.1:1/", "headers": ["X"]}])
def test_an_answer_without_an_address_is_tried_again(
    presigned: Any, signer: Signer, bundle: Any, progress: Any, answer: Any
) -> None:
    signer.answer = answer
    with pytest.raises(Retryable, match="holds none"):
        presigned().deliver(bundle().delivery(), progress)


def test_an_address_inside_our_own_network_is_refused_unless_it_was_configured(
    presigned: Any, signer: Signer, bundle: Any, progress: Any
) -> None:
    signer.answer = {"url": "http://127.0.0.1:1/store/x"}
    with pytest.raises(Permanent):
        presigned().deliver(bundle().delivery(), progress)


class Answering:
    """A client that is answered the same to everything."""

    def __init__(self, answer: Any) -> None:
        self.answer = json.dumps(answer).encode()

    def call(self, request: Any, **_: Any) -> Answer:
        assert "POST" == request.method
        return Answer(status=200, body=self.answer)


@pytest.mark.parametrize("url", ["http://store.example/x", "HTTP://store.example/x", "//store.example/x"])
def test_an_address_that_leads_out_of_https_is_refused(bundle: Any, progress: Any, url: str) -> None:
    settings = HttpPutSettings(ask=Url("https://sign.example/"), verify="none")
    sink = HttpPut("archive", settings, cast(Any, Answering({"url": url})))
    with pytest.raises(Permanent, match="https"):
        sink.deliver(bundle().delivery(), progress)
    with pytest.raises(Permanent, match="https"):
        sink.check()


@pytest.mark.parametrize("status", [408, 501])
def test_an_answer_that_leaves_open_whether_it_was_stored_is_no_refusal(
    rig: HttpPutRig, bundle: Any, progress: Any, status: int
) -> None:
    rig.front.meet(Fault(status=status))
    with pytest.raises(Retryable):
        rig.make(verify="none").deliver(bundle().delivery(), progress)
    rig.front.meet(Fault(status=412))
    assert rig.make(verify="none", manifest=False).deliver(bundle().delivery(), progress).found


def test_a_server_that_knows_no_condition_and_lets_nobody_look_is_sent_nothing(
    rig: HttpPutRig, bundle: Any, progress: Any
) -> None:
    rig.front.meet(Fault(status=501, body=b"<Error><Code>NotImplemented</Code></Error>"))
    for _ in range(2):
        with pytest.raises(Permanent, match=r"does not know If-None-Match"):
            rig.make(verify="none").deliver(bundle().delivery(), progress)
    rig.front.meet(Fault(status=412))
    with pytest.raises(Conflict, match="there before"):  # it was surely not ours
        rig.make(verify="none").deliver(bundle().delivery(), progress)


def test_azure_names_what_is_there_before(rig: HttpPutRig, bundle: Any, progress: Any) -> None:
    rig.front.meet(Fault(status=409, headers={"x-ms-error-code": "BlobAlreadyExists"}), at=0)
    with pytest.raises(Conflict):
        rig.make(verify="none").deliver(bundle().delivery(), progress)


@pytest.mark.parametrize(("verify", "rights"), [("read", "rc"), ("none", "cw")])
def test_a_container_is_opened_by_a_signature_in_the_address(
    servers: Servers, tmp_path: Path, start: ExitStack, bundle: Any, progress: Any, verify: str, rights: str
) -> None:
    """Azure's own words for what stands there, at its emulator."""
    azure = AzureRig(servers, tmp_path, start)
    container = azure.container.rpartition("/")[2]
    address = f"{azure.container}/{{path}}?{shared_access(container, rights)}"
    table = {"address": address, "headers": {"x-ms-blob-type": "BlockBlob"}, "verify": verify}
    assert not make_sink("http_put", table).deliver(bundle().delivery(), progress).found
    assert azure.expected(bundle()) == azure.visible()
    assert make_sink("http_put", table).deliver(bundle().delivery(), progress).found
    with pytest.raises(Conflict):
        make_sink("http_put", table).deliver(bundle(files={KEY: DEED[::-1]}).delivery(), type(progress)())
    assert azure.expected(bundle()) == azure.visible()


def test_check_says_what_it_cannot_know(rig: HttpPutRig) -> None:
    rig.front.meet(Fault(status=403))
    assert "first delivery" in rig.make(verify="none").check()

"""What every service that sends mails over HTTPS is asked for, told, and trusted with."""

import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from email.header import decode_header, make_header
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest

from webhook_svc.core.errors import ClaimLost, Permanent, Retryable
from webhook_svc.core.outgoing import Answer, Request, Upload
from webhook_svc.files import CHUNK
from webhook_svc.sinks import SINKS

from .rigs import rig_of
from .rigs.base import large_delivery
from .rigs.front import Fault
from .rigs.outbox import PEOPLE, MailRig

KINDS = [name for name in SINKS.names() if issubclass(rig_of(name), MailRig)]
KNOWS_REPEATS = ["resend"]
KEEPS_OUR_ID = ["mailgun", "postmark", "sendgrid", "ses"]
"""Amazon replaces it later, on its way out."""
DEED = b"%PDF-1.7 deed %%EOF"


def test_five_services_are_held_to_this() -> None:
    assert ["mailgun", "postmark", "resend", "sendgrid", "ses"] == KINDS


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest, servers: Any, tmp_path: Path, start: ExitStack) -> MailRig:
    return cast(MailRig, rig_of(request.param)(servers, tmp_path, start))


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_mail_says_who_and_what(rig: MailRig, bundle: Any, progress: Any) -> None:
    sink = rig.make(
        to=['"Ann, Legal" <ann@acme.example>', "Böb <bob@acme.example>"],
        cc=["cid@acme.example", "ann@acme.example"],
        bcc=["dan@acme.example", "cid@acme.example", "bob@acme.example"],
        reply_to=["contracts@acme.example"],
        html="<p>{title}</p>",
        headers={"X-Department": "Recht & Verträge"},
    )
    sink.deliver(bundle(title="임대차 계약 📄 <x>").delivery(), progress)
    mail = rig.outbox.mail()
    assert ["ann@acme.example", "bob@acme.example", "cid@acme.example", "dan@acme.example"] == mail.recipients
    assert "Signed: 임대차 계약 📄 <x>" == mail.subject
    assert "임대차 계약 📄 <x> is signed and complete." in mail.text
    assert "<p>임대차 계약 📄 &lt;x&gt;</p>" == mail.html.strip()
    assert "contracts@acme.example" == mail.headers["reply-to"]
    assert "auto-generated" == mail.headers["auto-submitted"]
    assert "Recht & Verträge" == _decoded(mail.headers["x-department"])
    assert {"deed.pdf": DEED} == mail.files


def test_a_mail_carries_our_message_id_where_the_service_keeps_it(rig: MailRig, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    found = rig.outbox.mail().headers.get("message-id", "")
    assert (rig.kind in KEEPS_OUR_ID) == found.startswith("<dlv_01.")


@pytest.mark.parametrize(
    "title", ["x\r\nBcc: eve@evil.example", "x\u2028y", "x\x00\x1b[31m", "\ud800", '"}], "to": ["e']
)
def test_a_title_bends_nothing(rig: MailRig, bundle: Any, progress: Any, title: str) -> None:
    rig.sink.deliver(bundle(title=title).delivery(), progress)
    mail = rig.outbox.mail()
    assert mail.subject.startswith("Signed: ")
    assert (list(PEOPLE), {"deed.pdf": DEED}) == (mail.recipients, mail.files)


def test_several_files_and_the_manifest_go_in_one_mail(rig: MailRig, bundle: Any, progress: Any) -> None:
    files = {"a/one.pdf": bytes(range(256)) * 1000, "a/two.pdf": b"", "a/three.pdf": b"x"}
    receipt = rig.make(manifest=True).deliver(bundle(files=files).delivery(), progress)
    assert ["one.pdf", "two.pdf", "three.pdf", "manifest.json"] == list(rig.outbox.mail().files)
    assert 4 == len(receipt.details["attached"])


def test_a_notice_stays_one_when_it_is_sent_again(rig: MailRig, bundle: Any, progress: Any) -> None:
    sink = rig.make(manifest=True, attach_limit=5)
    rig.front.meet(Fault(passes=True))
    with pytest.raises(Retryable):
        sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    again = rig.make(manifest=True, attach_limit=1000).deliver(bundle().delivery(), progress)
    assert [["manifest.json"]] * len(rig.outbox.mails) == [list(mail.files) for mail in rig.outbox.mails]
    assert 1 == len(again.details["attached"])


def test_above_the_limit_a_notice_says_where_the_files_are(rig: MailRig, bundle: Any, progress: Any) -> None:
    sent = bundle(lost={"deed.pdf": 0})  # reading it would fail
    receipt = rig.make(attach_limit=5, location="s3://acme/{document}").deliver(sent.delivery(), progress)
    mail = rig.outbox.mail()
    assert {} == mail.files
    assert "s3://acme/doc-1" in mail.text
    assert [] == receipt.details["attached"]


def test_what_the_service_would_find_too_large_is_a_notice_too(rig: MailRig, bundle: Any, progress: Any) -> None:
    delivery = bundle(lost={"deed.pdf": 0}).delivery()
    (placed,) = delivery.files
    huge = replace(placed, part=replace(placed.part, size=int(rig.limit * 1.1)))
    rig.make(attach_limit=10**9).deliver(replace(delivery, files=(huge,)), progress)
    assert {} == rig.outbox.mail().files


def test_a_receipt_holds_the_services_own_id(rig: MailRig, bundle: Any, progress: Any) -> None:
    receipt = rig.sink.deliver(bundle().delivery(), progress)
    assert receipt.details["id"]
    assert ("ann@acme.example, bob@acme.example", 0) == (receipt.location, receipt.details["repeats"])


def _decoded(text: str) -> str:
    return str(make_header(decode_header(text)))


class Drain:
    """A client that sends nothing, and says that all is well."""

    def call(self, request: Request, **_: Any) -> Answer:
        assert isinstance(request.body, Upload)
        with request.body.open() as stream:
            size = sum(map(len, iter(lambda: stream.read(CHUNK), b"")))
        assert request.body.size == size
        return Answer(status=200, body=b"{}")


def test_a_mail_is_never_held_in_memory(rig: MailRig, progress: Any) -> None:
    sent = large_delivery(7_000_000)
    sink = type(rig.sink)("legal", rig.make().settings, cast(Any, Drain()))
    tracemalloc.start()
    try:
        sink.deliver(sent, progress)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 7_000_000


# --- what is remembered -------------------------------------------------------------------------------------------


def test_what_was_accepted_is_not_asked_again(rig: MailRig, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert rig.again().deliver(bundle().delivery(), progress).found
    assert [] == rig.front.seen


def test_the_memory_holds_no_address(rig: MailRig, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    assert "ann" not in progress.text
    assert [] == [one for one in ("ann@", "bob@") if one in progress.text]


@pytest.mark.parametrize("fault", [Fault(passes=True), Fault(status=500, passes=True)], ids=["answer lost", "500"])
def test_a_mail_that_may_have_gone_is_sent_again_and_counted(
    rig: MailRig, bundle: Any, progress: Any, fault: Fault
) -> None:
    rig.front.meet(fault)
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    receipt = rig.again().deliver(bundle().delivery(), progress)
    knows = rig.kind in KNOWS_REPEATS
    assert (1 if knows else 2) == len(rig.outbox.mails)
    assert (0 if knows else 1) == receipt.details["repeats"]
    assert 1 == len({mail.raw + mail.text.encode() for mail in rig.outbox.mails})


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_mail_that_was_refused_is_no_repeat(rig: MailRig, bundle: Any, progress: Any, status: int) -> None:
    rig.front.meet(Fault(status=status))
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert 0 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]


def test_a_service_that_nobody_reached_has_sent_nothing(rig: MailRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(Retryable):
        rig.make(endpoint="http://127.0.0.1:1").deliver(bundle().delivery(), progress)
    assert 0 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]


class Watched(BytesIO):
    read_to_its_end = False

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.read_to_its_end = not found
        return found


def test_the_claim_is_asked_for_before_the_last_bytes_leave(rig: MailRig, bundle: Any, progress: Any) -> None:
    """After the whole file was read, and so was proved."""
    opened: list[Watched] = []

    def lost() -> None:
        assert opened[-1].read_to_its_end
        raise ClaimLost

    def open_(_: Any) -> Any:
        opened.append(Watched(DEED * 10_000))
        return opened[-1]

    sent = bundle(files={"a/deed.pdf": DEED * 10_000}, still_ours=lost)
    with pytest.raises(ClaimLost):
        rig.sink.deliver(replace(sent.delivery(), open=open_), progress)
    assert [] == rig.outbox.mails


@pytest.mark.parametrize("body", [b"<html>thanks</html>", b"", b"[]"])
def test_a_mail_that_was_taken_is_taken_whatever_is_said_of_it(
    rig: MailRig, bundle: Any, progress: Any, body: bytes
) -> None:
    rig.front.meet(Fault(status=202, body=body, passes=True))
    receipt = rig.sink.deliver(bundle().delivery(), progress)
    assert ("", 1) == (receipt.details["id"], len(rig.outbox.mails))


def test_an_address_to_which_nothing_is_sent_gets_nothing(rig: MailRig, bundle: Any, progress: Any) -> None:
    """Postmark alone says so; see its own tests."""
    rig.outbox.suppressed = {PEOPLE[1]}
    if rig.kind == "postmark":
        with pytest.raises(Permanent, match=r"b\*\*\*@acme\.example"):
            rig.sink.deliver(bundle().delivery(), progress)
    else:
        rig.sink.deliver(bundle().delivery(), progress)
    assert [PEOPLE[0]] == rig.outbox.mail().recipients


def test_a_recipient_who_was_added_after_the_mail_went_out_is_named_and_nobody_is_sent_it_again(
    rig: MailRig, bundle: Any, progress: Any
) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    later = rig.make(to=[*PEOPLE, "cid@acme.example"])
    with pytest.raises(Permanent, match=r"before the settings named 1 of the recipients \(c\*\*\*@acme\.example\)"):
        later.deliver(bundle().delivery(), progress)
    assert 1 == len(rig.outbox.mails)


def test_a_recipient_who_was_taken_out_after_the_mail_went_out_is_no_matter(
    rig: MailRig, bundle: Any, progress: Any
) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    receipt = rig.make(to=list(PEOPLE[:1])).deliver(bundle().delivery(), progress)
    assert (True, [PEOPLE[0]]) == (receipt.found, receipt.details["recipients"])


# --- settings -----------------------------------------------------------------------------------------------------


def test_a_sender_whom_the_service_does_not_know_is_refused(rig: MailRig, bundle: Any, progress: Any) -> None:
    """Mailgun does not look."""
    sink = rig.make(**{"from": "bot@other.example"})
    if rig.kind != "mailgun":
        with pytest.raises((Retryable, Permanent)):
            sink.deliver(bundle().delivery(), progress)
        assert [] == rig.outbox.mails


@pytest.mark.parametrize(
    "changes", [{"to": [], "cc": ["a@acme.example"]}, {"to": [f"p{n}@a.example" for n in range(101)]}]
)
def test_recipients_that_no_service_takes_are_refused(rig: MailRig, changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="recipient"):
        rig.make(**changes)


# --- the stand-ins can say no -------------------------------------------------------------------------------------


class Sloppy:
    """A client that changes what it is given to send."""

    def __init__(self, http: Any, change: Callable[[bytes], bytes]) -> None:
        self._http = http
        self._change = change

    def call(self, request: Request, **_: Any) -> Answer:
        assert isinstance(request.body, Upload)
        with request.body.open() as stream:
            whole = stream.read()
        changed = self._change(whole)
        assert changed != whole
        return cast(Answer, self._http.call(replace(request, body=changed)))


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("mailgun", b'name="to"', b'name="ot"'),
        ("mailgun", b"ann@acme.example\r\n--", b"ann at acme\r\n--"),
        ("mailgun", b'; filename="message.eml"', b""),
        ("mailgun", b"\r\nFrom: ", b"\r\nForm: "),
        ("mailgun", b"Signed: ", "Signé: ".encode()),
        ("postmark", b'"Content": "', b'"Content": "*'),
        ("postmark", b'"From"', b'"Form"'),
        ("postmark", b'"To": "ann', b'"To": "ann bob'),
        ("postmark", b'"TextBody"', b'"Tag"'),
        ("postmark", b"bot@acme.example", b"bot@evil.example"),
        ("postmark", b'{"From"', b'["From"'),
        ("resend", b'"content": "', b'"content": "*'),
        ("resend", b'"from"', b'"form"'),
        ("resend", b'"to": ["ann', b'"to": ["ann bob'),
        ("resend", b'"text"', b'"body"'),
        ("resend", b"bot@acme.example", b"bot@evil.example"),
        ("sendgrid", b'"content": "', b'"content": "*'),
        ("sendgrid", b'"from"', b'"form"'),
        ("sendgrid", b'"to"', b'"too"'),
        ("sendgrid", b'"subject": "', b'"subject": "", "x": "'),
        ("sendgrid", b'[{"email": "ann@acme.example"}', b'[{"email": "bob@acme.example"}'),
        ("sendgrid", b"bot@acme.example", b"bot@evil.example"),
        ("ses", b'"Data": "', b'"Data": "*'),
        ("ses", b"ann@acme.example", b"eve@acme.example"),
    ],
)
def test_a_sloppy_request_is_refused(
    servers: Any, tmp_path: Path, start: ExitStack, bundle: Any, progress: Any, kind: str, right: bytes, wrong: bytes
) -> None:
    rig = cast(MailRig, rig_of(kind)(servers, tmp_path, start))
    http = Sloppy(rig.sink.http, lambda body: body.replace(right, wrong, 1))
    with pytest.raises((Retryable, Permanent)) as caught:
        type(rig.sink)("mail", rig.sink.settings, cast(Any, http)).deliver(bundle().delivery(), progress)
    assert "answer was 4" in str(caught.value)
    assert [] == rig.outbox.mails


def test_a_mail_that_is_too_large_is_refused(
    rig: MailRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"tests.contracts.rigs.{rig.kind}.LARGEST", 500)
    with pytest.raises(Permanent):
        rig.sink.deliver(bundle().delivery(), progress)
    assert [] == rig.outbox.mails

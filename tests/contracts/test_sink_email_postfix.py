"""The mail sink and Postfix: what servers of the open internet make of our mails."""

from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.errors import Permanent, Retryable
from webhook_svc.core.ports import Sink

from .mail import DEED
from .rigs.base import make_sink
from .rigs.postfix import KNOWN, LARGEST, Postfix, postfix
from .rigs.servers import Servers
from .smime import attachments, needs_openssl, opened, person, verified

LEGAL, BOARD = KNOWN


@pytest.fixture
def server(servers: Servers) -> Postfix:
    return servers.get("postfix", postfix)


@pytest.fixture
def make(server: Postfix) -> Callable[..., Sink]:
    def _make(**changes: Any) -> Sink:
        table = {"server": f"smtp://127.0.0.1:{server.port}", "ca_file": str(server.certificate)}
        return make_sink("email", {**table, "from": "Bot <bot@acme.example>", "to": list(KNOWN), **changes})

    return _make


def mail_of(server: Postfix, recipient: str, delivery: str) -> EmailMessage:
    return message_from_bytes(server.mail(recipient, delivery), policy=policy.default)


def said(mail: EmailMessage, kind: str = "plain") -> list[str]:
    """The lines of its text."""
    body = mail.get_body((kind,))
    assert body
    return list(body.get_content().splitlines())


def test_a_mail_arrives_as_it_was_sent(make: Any, server: Postfix, bundle: Any, progress: Any) -> None:
    name, content = "임대차 계약서 (최종) 🖋️.pdf", bytes(range(256)) * 300 + b"\r\n.\r\n..\nFrom x\r"
    sent = bundle(files={f"a/{name}": content}, title="임대차 계약 📄", id="dlv_arrives")
    sink = make(html="<p>.{title}</p>", text=".\n..\nFrom here\n{title}", bcc=[BOARD], to=[f"레갈 <{LEGAL}>"])
    receipt = sink.deliver(sent.delivery(), progress)
    for recipient in KNOWN:
        mail = mail_of(server, recipient, "dlv_arrives")
        (attachment,) = mail.iter_attachments()
        assert (name, content) == (attachment.get_filename(), attachment.get_content())
        assert ("Signed: 임대차 계약 📄", f"레갈 <{LEGAL}>", None) == (mail["Subject"], mail["To"], mail["Bcc"])
        assert [".", "..", "From here", "임대차 계약 📄"] == said(mail)
        assert ["<p>.임대차 계약 📄</p>"] == said(mail, "html")
        assert receipt.details["message_id"] == mail["Message-ID"]
        assert ("auto-generated", "<contracts.archive.acme.example>") == (mail["Auto-Submitted"], mail["List-Id"])
        assert "ESMTPS" in mail["Received"]


def test_one_recipient_who_is_unknown_keeps_nobody_else_waiting(
    make: Any, server: Postfix, bundle: Any, progress: Any
) -> None:
    with pytest.raises(Permanent, match=r"1 of the recipients: g\*\*\*@acme\.example \(550\)"):
        make(to=["gone@acme.example", LEGAL]).deliver(bundle(id="dlv_unknown").delivery(), progress)
    assert mail_of(server, LEGAL, "dlv_unknown")


def test_what_is_larger_than_it_says_becomes_a_notice(make: Any, server: Postfix, bundle: Any, progress: Any) -> None:
    sink = make(to=[LEGAL], location="https://archive.acme.example/{path}")
    sink.deliver(bundle(files={"a/deed.pdf": b"x" * LARGEST}, id="dlv_notice").delivery(), progress)
    mail = mail_of(server, LEGAL, "dlv_notice")
    assert [] == list(mail.iter_attachments())
    assert "https://archive.acme.example/a/deed.pdf" in " ".join(said(mail))


def test_the_largest_mail_that_still_fits_is_taken(make: Any, server: Postfix, bundle: Any, progress: Any) -> None:
    size = int((LARGEST - 20_000) / 1.37)
    make(to=[LEGAL]).deliver(bundle(files={"a/deed.pdf": b"x" * size}, id="dlv_largest").delivery(), progress)
    (attachment,) = mail_of(server, LEGAL, "dlv_largest").iter_attachments()
    assert size == len(attachment.get_content())


def test_a_kept_connection_serves_the_next_delivery(make: Any, server: Postfix, bundle: Any, progress: Any) -> None:
    sink = make(to=[LEGAL])
    before = server.log().count(": connect from")
    for number in range(3):
        sink.deliver(bundle(id=f"dlv_kept{number}").delivery(), type(progress)())
    assert all(mail_of(server, LEGAL, f"dlv_kept{number}") for number in range(3))
    assert 1 == server.log().count(": connect from") - before


def test_check_says_how_large_a_mail_may_be(make: Any) -> None:
    assert f"takes mail of up to {LARGEST} bytes from bot@acme.example" in make().check()


def test_an_authority_that_nobody_named_is_not_trusted(make: Any, bundle: Any, progress: Any) -> None:
    with pytest.raises(Retryable, match="certificate does not hold"):
        make(ca_file="").deliver(bundle().delivery(), progress)


@needs_openssl
def test_what_is_signed_and_encrypted_survives_the_way(
    make: Any, server: Postfix, bundle: Any, progress: Any, tmp_path: Path
) -> None:
    root = person(tmp_path, "root@acme.example", curve=True, ca=True, years=20)
    bot, legal = person(tmp_path, "bot@acme.example", root, years=20), person(tmp_path, LEGAL, years=20)
    sealed = {"certificate": bot.chain, "key": bot.files[1], "recipients": {LEGAL: legal.files[0]}}
    sent = bundle(id="dlv_sealed", files={"a/계약.pdf": DEED * 2000}).delivery()
    make(to=[LEGAL], smime=sealed, text=".\nFrom 계약  \n").deliver(sent, progress)
    inner = opened(server.mail(LEGAL, "dlv_sealed"), legal)
    assert inner
    assert {"계약.pdf": DEED * 2000} == attachments(verified(inner, root))


@needs_openssl
def test_a_signature_survives_the_way(make: Any, server: Postfix, bundle: Any, progress: Any, tmp_path: Path) -> None:
    root = person(tmp_path, "root@acme.example", curve=True, ca=True, years=20)
    bot = person(tmp_path, "bot@acme.example", root, years=20)
    sink = make(
        to=[LEGAL], smime={"certificate": bot.chain, "key": bot.files[1]}, text=".\nFrom 계약  \n", html="<p>é "
    )
    sink.deliver(bundle(id="dlv_signed").delivery(), progress)
    assert {"deed.pdf": DEED} == attachments(verified(server.mail(LEGAL, "dlv_signed"), root))

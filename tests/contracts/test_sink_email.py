"""What the mail sink sends, remembers and makes of everything a mail server may answer."""

import json
import socket
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest

from webhook_svc.core.errors import ArtifactLost, ClaimLost, Permanent, Retryable, Unlikely, WebhookError
from webhook_svc.core.settings import Secret, build
from webhook_svc.sinks.email import Email, EmailSettings
from webhook_svc.sinks.mail.letter import Writer
from webhook_svc.sinks.mail.mime import compose

from .mail import DEED, DROP, NOW, PASSWORD, SLOW, SLOWNESS, MailServer, secured, serving, settings
from .rigs.certificate import certificate


@pytest.fixture
def server() -> MailServer:
    return MailServer()


@pytest.fixture
def port(server: MailServer) -> Iterator[int]:
    with serving(server) as port:
        yield port


@pytest.fixture
def make(port: int) -> Callable[..., Email]:
    def _make(*, url: str = "smtp://bot:{password}@127.0.0.1:{port}", now: float = NOW, **changes: Any) -> Email:
        where = url.format(password=PASSWORD, port=port)
        return Email("legal", settings(server=Secret(where), **changes), cast(Any, None), clock=lambda: now)

    return _make


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_mail_says_who_what_and_when(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    make(cc=("Dé Li <dl@acme.example>",)).deliver(bundle(title="임대차 계약 📄").delivery(), progress)
    mail = server.mail()
    assert "Signed: 임대차 계약 📄" == mail["Subject"]
    assert "Acme Bot <bot@acme.example>" == mail["From"]
    assert "ann@acme.example, bob@acme.example, cid@acme.example" == mail["To"]
    assert "Dé Li <dl@acme.example>" == mail["Cc"]
    assert "auto-generated" == mail["Auto-Submitted"]
    assert NOW == mail["Date"].datetime.timestamp()
    assert mail["Message-ID"].startswith("<dlv_01.")
    assert mail["Message-ID"].endswith("@acme.example>")


def test_every_recipient_has_a_transaction_of_the_same_bytes(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    make(cc=("dan@acme.example", "ann@acme.example")).deliver(bundle().delivery(), progress)
    assert ["ann@acme.example", "bob@acme.example", "cid@acme.example", "dan@acme.example"] == server.to()
    assert 1 == len({mail for _, mail in server.mails})


def test_a_later_try_sends_the_same_bytes(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    server.says = {"RCPT TO:<bob": ["451 later"]}
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), progress)
    make(now=NOW + 3600).deliver(bundle().delivery(), progress)
    assert ["ann@acme.example", "cid@acme.example", "bob@acme.example"] == server.to()
    assert 1 == len({mail for _, mail in server.mails})


def test_an_attachment_is_the_file_under_its_name(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    name = "계약서 " + "가" * 40 + " (서명) 🖋️.pdf"
    content = bytes(range(256)) * 40 + b"\r\n.\r\n..\r\nFrom \n"
    make().deliver(bundle(files={f"a/{name}": content}).delivery(), progress)
    (attachment,) = server.mail().iter_attachments()
    assert (name, content, "application/pdf") == (
        attachment.get_filename(),
        attachment.get_content(),
        attachment.get_content_type(),
    )
    assert server.mails[0][1].isascii()
    assert max(map(len, server.mails[0][1].split(b"\r\n"))) < 998


def test_a_file_that_is_read_in_odd_pieces_is_the_same_mail(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    class Odd(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002 - that is what is odd about it
            return super().read(58)

    content = bytes(range(256)) * 3
    sent = bundle(files={"a/deed.pdf": content}).delivery()
    make(to=("ann@acme.example",)).deliver(sent, progress)
    make(to=("ann@acme.example",)).deliver(replace(sent, open=lambda _: Odd(content)), type(progress)())
    assert 2 == len(server.mails)
    assert 1 == len(set(server.mails))


def test_a_mail_of_any_length_takes_little_memory(bundle: Any) -> None:
    content = bytes(4_000_000)
    delivery = bundle(files={"a/deed.pdf": content}).delivery()
    tracemalloc.start()
    try:
        letter = Writer(settings()).write(delivery, date=NOW, attached=True)
        size = sum(map(len, compose(letter).chunks()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert compose(letter).size == size
    assert peak < 2_500_000


@pytest.mark.parametrize(
    "title", ["x\r\nBcc: eve@evil.example", "x\n\nbody", "x\u2028Bcc: e", "x\x00\x1b[31m", "\ud800"]
)
def test_a_title_cannot_add_a_header(make: Any, server: MailServer, bundle: Any, progress: Any, title: str) -> None:
    make().deliver(bundle(title=title).delivery(), progress)
    mail = server.mail()
    expected = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Id"}
    expected |= {"MIME-Version", "Content-Type"}
    assert expected == set(mail.keys())
    assert mail["Subject"].startswith("Signed: ")
    assert 1 == len(list(mail.iter_attachments()))


@pytest.mark.parametrize("kind", ["application/pdf; x=y", "message/rfc822", "multipart/mixed", "x\r\nBcc: e", ""])
def test_a_media_type_that_would_bend_the_mail_is_left_out(
    make: Any, server: MailServer, bundle: Any, progress: Any, kind: str
) -> None:
    delivery = bundle().delivery()
    (placed,) = delivery.files
    odd = replace(placed, part=replace(placed.part, content_type=kind))
    make().deliver(replace(delivery, files=(odd,)), progress)
    (attachment,) = server.mail().iter_attachments()
    assert ("application/octet-stream", DEED) == (attachment.get_content_type(), attachment.get_content())


def test_templates_may_use_every_field(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    text = "{source} {document} {round} {version} {sink} {delivery} {count} {missing} {completed:%d.%m.%Y} {{x}}"
    delivery = replace(bundle().delivery(), missing=("certificate",), round="r2")
    make(text=text, subject="{completed}").deliver(delivery, progress)
    body = server.mail().get_body()
    assert body is not None
    assert "contracts doc-1 r2 1 archive dlv_01 1 certificate 21.09.2026 {x}" == body.get_content().strip()
    assert "2026-09-21 14:13 UTC" == server.mail()["Subject"]


def test_above_the_limit_a_notice_says_where_the_files_are(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    sent = bundle(lost={"deed.pdf": 0})  # reading it would fail
    receipt = make(attach_limit=5, location="s3://acme/{document}").deliver(sent.delivery(), progress)
    body = server.mail().get_body()
    assert body is not None
    assert [] == list(server.mail().iter_attachments())
    assert "s3://acme/doc-1" in body.get_content()
    assert "deed.pdf (19 bytes, SHA-256 " in body.get_content()
    assert [] == receipt.details["attached"]


def test_a_notice_lists_the_files_whatever_the_template_says(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    make(attach_limit=5, text="Done.").deliver(bundle().delivery(), progress)
    body = server.mail().get_body()
    assert body is not None
    assert "deed.pdf (19 bytes" in body.get_content()


@pytest.mark.parametrize(
    ("announced", "attachments"), [("SIZE 30000", 0), ("SIZE 0", 1), ("SIZE", 1), ("SIZE 99999999", 1)]
)
def test_the_size_that_the_server_announces_counts_too(
    make: Any, server: MailServer, bundle: Any, progress: Any, announced: str, attachments: int
) -> None:
    server.features = ("AUTH PLAIN", announced)
    make().deliver(bundle(files={"a/deed.pdf": DEED * 1000}).delivery(), progress)
    assert attachments == len(list(server.mail().iter_attachments()))


# --- what is remembered -------------------------------------------------------------------------------------------


def test_the_claim_is_asked_for_directly_before_the_last_line(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    def lost() -> None:
        assert "DATA" == server.heard[-1]
        raise ClaimLost

    with pytest.raises(ClaimLost):
        make().deliver(bundle(still_ours=lost).delivery(), progress)
    assert [] == server.mails


@dataclass
class Dying:
    """A progress whose process dies at one of its saves."""

    inner: Any
    at: int

    def load(self) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], self.inner.load())

    def save(self, state: Mapping[str, Any]) -> None:
        self.at -= 1
        if self.at < 0:
            raise KeyboardInterrupt
        self.inner.save(state)


@pytest.mark.parametrize(("at", "repeats"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_a_crash_repeats_at_most_the_one_recipient_in_doubt_and_counts_it(
    make: Any, server: MailServer, bundle: Any, progress: Any, at: int, repeats: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        make().deliver(bundle().delivery(), Dying(progress, at))
    receipt = make(now=NOW + 60).deliver(bundle().delivery(), progress)
    assert 3 + repeats == len(server.mails)
    assert {"ann@acme.example", "bob@acme.example", "cid@acme.example"} == set(server.to())
    assert repeats == receipt.details["repeats"]
    assert 1 == len({mail for _, mail in server.mails})


def test_who_was_in_doubt_to_an_older_version_is_counted(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"end of data": [DROP]}
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), progress)
    (doubted,) = progress.load()["sending"]
    progress.save({**progress.load(), "sending": doubted})
    assert 1 == make().deliver(bundle().delivery(), progress).details["repeats"]


def test_a_hundred_long_addresses_fit_into_the_memory(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    people = tuple(f"{'p' * 60}{number}@{'d' * 60}.example" for number in range(100))
    make(to=people).deliver(bundle().delivery(), progress)
    assert 100 == len(server.mails)
    assert len(progress.text) < 4000


def test_the_memory_holds_no_address(make: Any, bundle: Any, progress: Any) -> None:
    make().deliver(bundle().delivery(), progress)
    assert "acme" not in progress.text
    assert 3 == len(json.loads(progress.text)["accepted"])


def test_a_memory_of_another_version_is_understood(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    server.says = {"RCPT TO:<bob": ["451 later"]}
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), progress)
    progress.save({**progress.load(), "of_tomorrow": [1]})
    make().deliver(bundle().delivery(), progress)
    assert ["ann@acme.example", "cid@acme.example", "bob@acme.example"] == server.to()


def test_a_lower_limit_counts_for_a_mail_that_nobody_has(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"end of data": ["552 too large"] * 3}
    with pytest.raises(Permanent):
        make().deliver(bundle().delivery(), progress)
    assert [] == make(attach_limit=5).deliver(bundle().delivery(), progress).details["attached"]
    assert [] == list(server.mail().iter_attachments())


@pytest.mark.parametrize("answers", [["250 queued", "451 later", "451 later"], [DROP]], ids=["accepted", "in doubt"])
def test_what_one_recipient_may_have_everybody_is_sent(
    make: Any, server: MailServer, bundle: Any, progress: Any, answers: list[str]
) -> None:
    server.says = {"end of data": answers}
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), progress)
    make(attach_limit=5, now=NOW + 60).deliver(bundle().delivery(), progress)
    assert {"ann@acme.example", "bob@acme.example", "cid@acme.example"} == set(server.to())
    assert 1 == len({mail for _, mail in server.mails})


# --- what is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "fate"), [("550 5.1.1 unknown bob@acme.example", Permanent), ("450 busy", Retryable)]
)
@pytest.mark.parametrize("command", ["RCPT TO:<bob", "end of data"])
def test_one_recipient_refused_keeps_nobody_else_waiting(
    make: Any, server: MailServer, bundle: Any, progress: Any, command: str, answer: str, fate: type[WebhookError]
) -> None:
    server.says = {command: [answer] if command.startswith("RCPT") else ["250 OK", answer]}
    with pytest.raises(fate, match=r"1 of the recipients: b\*\*\*@acme\.example \(\d{3}\)") as caught:
        make().deliver(bundle().delivery(), progress)
    assert "bob" not in str(caught.value)
    assert ["ann@acme.example", "cid@acme.example"] == server.to()
    receipt = make().deliver(bundle().delivery(), progress)
    assert ["ann@acme.example", "cid@acme.example", "bob@acme.example"] == server.to()
    assert 0 == receipt.details["repeats"]


def test_who_was_put_off_comes_before_who_was_refused(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"RCPT TO:<ann": ["550 no"], "RCPT TO:<bob": ["451 later"]}
    with pytest.raises(Retryable, match="b"):
        make().deliver(bundle().delivery(), progress)


def test_a_line_that_breaks_after_the_message_is_a_repeat_in_doubt(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"end of data": [DROP]}
    with pytest.raises(Retryable):
        make().deliver(bundle().delivery(), progress)
    assert 1 == make().deliver(bundle().delivery(), progress).details["repeats"]


@pytest.mark.parametrize(
    ("command", "answer", "fate"),
    [
        ("greeting", "421 busy", Retryable),
        ("greeting", "554 not you", Retryable),
        ("greeting", "HTTP/1.1 400 Bad Request", Retryable),
        ("greeting", DROP, Retryable),
        ("EHLO", DROP, Retryable),
        ("AUTH", "535 5.7.8 wrong aHVudGVyMi1odW50ZXIy", Retryable),
        ("AUTH", "454 later", Retryable),
        ("MAIL", "550 not this sender", Permanent),
        ("MAIL", "451 later", Retryable),
        ("MAIL", "421 closing", Retryable),
        ("MAIL", "452 no room now", Retryable),
        ("MAIL", "552 larger than we take", Permanent),
        ("MAIL", "554 no", Permanent),
        ("RCPT", "421 closing", Retryable),
        ("RCPT", "450 greylisted", Retryable),
        ("RCPT", "452 too many", Retryable),
        ("RCPT", "550 unknown", Permanent),
        ("RCPT", "552 mailbox full", Permanent),
        ("RCPT", "554 no", Permanent),
        ("RCPT", DROP, Retryable),
        ("DATA", "451 later", Retryable),
        ("DATA", "554 no recipients", Permanent),
        ("DATA", "250 as you like", Retryable),
        ("DATA", DROP, Retryable),
        ("end of data", "421 closing", Retryable),
        ("end of data", "451 later", Retryable),
        ("end of data", "550 against our rules", Permanent),
        ("end of data", "554 a virus", Permanent),
        ("end of data", "552 too large", Permanent),
        ("end of data", "500 Line too long", Unlikely),
        ("end of data", "452 disk full", Retryable),
    ],
)
def test_the_answer_decides_the_fate(
    make: Any, server: MailServer, bundle: Any, progress: Any, command: str, answer: str, fate: type[WebhookError]
) -> None:
    server.says = {command: [answer] * 9}
    with pytest.raises(fate) as caught:
        make().deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert caught.value.__cause__ is None
    assert [] == [word for word in (PASSWORD, "aHVudGVy", "wrong") if word in str(caught.value)]


@pytest.mark.parametrize("answer", ["421 busy", "550 not from there", "504 no"])
def test_a_server_that_does_not_let_us_in_is_asked_again(
    make: Any, server: MailServer, bundle: Any, progress: Any, answer: str
) -> None:
    server.says = {"EHLO": [answer], "HELO": [answer]}
    with pytest.raises(Retryable, match=r"no conversation now \(\d{3}\)"):
        make().deliver(bundle().delivery(), progress)


def test_a_farewell_that_fails_spoils_nothing(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    server.says = {"QUIT": [DROP]}
    assert not make().deliver(bundle().delivery(), progress).found
    assert 3 == len(server.mails)


def test_a_damaged_copy_is_not_blamed_on_the_server(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    delivery = replace(bundle().delivery(), open=lambda _: BytesIO(b"other bytes"))
    with pytest.raises(ArtifactLost):
        make().deliver(delivery, progress)
    assert [] == server.mails


def test_a_disk_in_trouble_is_not_blamed_on_the_server(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    def trouble(_: Any) -> Any:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        make().deliver(replace(bundle().delivery(), open=trouble), progress)
    assert [] == server.mails


def test_nobody_listening_is_worth_another_try(bundle: Any, progress: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sink = Email("legal", settings(server=Secret(f"smtp://127.0.0.1:{port}")), cast(Any, None))
    with pytest.raises(Retryable, match="ConnectionRefusedError"):
        sink.deliver(bundle().delivery(), progress)


def test_a_server_that_never_answers_is_left(bundle: Any, progress: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = Secret(f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        sink = Email("legal", settings(server=where, timeout=0.05), cast(Any, None))
        with pytest.raises(Retryable, match="broke off"):
            sink.deliver(bundle().delivery(), progress)


def test_a_server_that_looks_long_at_a_mail_is_waited_for(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"end of data": [SLOW + "250 queued"]}
    receipt = make(timeout=SLOWNESS / 2).deliver(bundle().delivery(), progress)
    assert ["ann@acme.example", "bob@acme.example", "cid@acme.example"] == server.to()
    assert 0 == receipt.details["repeats"]


def test_the_patience_after_a_mail_ends_with_its_answer(
    make: Any, server: MailServer, bundle: Any, progress: Any
) -> None:
    server.says = {"RCPT": ["250 OK", SLOW + "250 OK"]}
    with pytest.raises(Retryable, match="broke off"):
        make(timeout=SLOWNESS / 2).deliver(bundle().delivery(), progress)
    assert ["ann@acme.example"] == server.to()


def test_a_line_that_is_out_of_step_leaves_a_doubt(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    server.says = {"end of data": ["500 Line too long"]}
    with pytest.raises(Unlikely):
        make().deliver(bundle().delivery(), progress)
    assert [] == server.to()
    assert 1 == make().deliver(bundle().delivery(), progress).details["repeats"]


def test_lines_of_dots_arrive_as_they_were_written(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    make(text=".\n..\n.x\n.").deliver(bundle().delivery(), progress)
    body = server.mail().get_body()
    assert body is not None
    assert [".", "..", ".x", "."] == body.get_content().splitlines()


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "starttls"])
def test_mail_and_password_travel_inside_tls(
    make: Any, server: MailServer, bundle: Any, progress: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    implicit: bool,
) -> None:  # fmt: skip
    path = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    sink = make(url=secured(server, path, implicit), tls="auto")
    assert "after login" in sink.check()
    sink.deliver(bundle().delivery(), progress)
    assert 3 == len(server.mails)
    assert implicit or server.heard.index("STARTTLS") < [one[:4] for one in server.heard].index("AUTH")


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "starttls"])
@pytest.mark.parametrize("named", ["127.0.0.1", "127.0.0.9"], ids=["unknown authority", "another name"])
def test_a_certificate_that_does_not_hold_ends_the_conversation(
    make: Any, server: MailServer, bundle: Any, progress: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    implicit: bool, named: str,
) -> None:  # fmt: skip
    path = certificate(tmp_path, named)
    if named == "127.0.0.9":
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(Retryable, match="certificate"):
        make(url=secured(server, path, implicit), tls="auto").deliver(bundle().delivery(), progress)
    assert [] == [line for line in server.heard if line.startswith(("AUTH", "MAIL"))]


def test_a_server_without_starttls_hears_no_password(make: Any, server: MailServer, bundle: Any, progress: Any) -> None:
    with pytest.raises(Permanent, match="STARTTLS"):
        make(tls="auto").deliver(bundle().delivery(), progress)
    assert [] == [line for line in server.heard if line.startswith(("AUTH", "MAIL"))]


# --- settings -----------------------------------------------------------------------------------------------------


def test_the_key_in_the_file_is_from() -> None:
    problems: list[Any] = []
    table = {"server": "smtp://127.0.0.1", "from": "bot@acme.example", "to": ["ann@acme.example"]}
    built = build(EmailSettings, table, "sinks.legal", problems)
    assert [] == problems
    assert "bot@acme.example" == built.from_


@pytest.mark.parametrize(
    ("url", "tls", "expected"),
    [
        ("smtp://h.example", "auto", ("h.example", 587, "starttls", "", "")),
        ("smtps://h.example", "auto", ("h.example", 465, "tls", "", "")),
        ("smtp://h.example", "none", ("h.example", 25, "none", "", "")),
        ("smtp://h.example:2525", "tls", ("h.example", 2525, "tls", "", "")),
        ("smtp://a%40b:p%2Fw%3A@[::1]:25", "none", ("::1", 25, "none", "a@b", "p/w:")),
    ],
)
def test_the_server_is_read_from_one_url(url: str, tls: Any, expected: tuple[Any, ...]) -> None:
    server = settings(server=Secret(url), tls=tls).connection().address
    assert expected == (server.host, server.port, server.tls, server.user, server.password.reveal())


@pytest.mark.parametrize(
    "changes",
    [
        {"server": Secret(f"http://u:{PASSWORD}@h.example")},
        {"server": Secret(f"smtp://u:{PASSWORD}@h.example:port")},
        {"server": Secret(f"smtp://u:{PASSWORD}/x@h.example")},
        {"server": Secret(f"smtp://u:{PASSWORD}ü@h.example")},
        {"server": Secret(f"{PASSWORD}")},
        {"server": Secret(f"smtp://u:{PASSWORD}@h.example"), "tls": "none"},
        {"to": ()},
        {"to": tuple(f"p{number}@a.example" for number in range(101))},
        {"to": ("nobody",)},
        {"to": ("ann@acme.example\r\nRCPT TO:<eve@evil.example>",)},
        {"to": ("ann@acme.example, eve@evil.example",)},
        {"to": ("änn@acme.example",)},
        {"from_": "Bot\r\nBcc: eve@evil.example <bot@acme.example>"},
        {"from_": ""},
        {"subject": "{titel}"},
        {"text": "{"},
        {"location": "{password}"},
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_secret(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        settings(**changes)
    assert PASSWORD not in str(caught.value)

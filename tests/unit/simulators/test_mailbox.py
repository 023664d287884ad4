"""The mailbox of the demonstration, spoken to by the standard library's client and by hand."""

import smtplib
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from webhook_svc.simulators.mailbox import Mailbox
from webhook_svc.stage.processes import until


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with Mailbox() as mailbox:
        yield mailbox


def talk(box: Mailbox, said: bytes) -> bytes:
    with socket.create_connection((box.host, box.port), timeout=10) as connection:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_message_is_kept_with_its_envelope(box: Mailbox) -> None:
    message = EmailMessage()
    message["Subject"] = "Signed: Lease"
    message.set_content("attached\n.a line with a dot\n..two dots\n")
    message.add_attachment(b"%PDF-1.4\n%%EOF\n", maintype="application", subtype="pdf", filename="a.pdf")
    message.set_boundary("fixed")
    with smtplib.SMTP(box.host, box.port, timeout=10) as client:
        assert {} == client.send_message(message, "from@example.test", ["a@example.test", "b@example.test"])
    [mail] = box.mails
    assert "from@example.test" == mail.sender
    assert ("a@example.test", "b@example.test") == mail.recipients
    assert message.as_bytes(policy=SMTP) == mail.content


def test_several_messages_pass_through_one_connection(box: Mailbox) -> None:
    with smtplib.SMTP(box.host, box.port, timeout=10) as client:
        for number in range(3):
            client.sendmail("a@example.test", "b@example.test", f"Subject: {number}\r\n\r\n")
    assert box.wait_for(3, timeout=10)
    assert [f"Subject: {number}\r\n\r\n".encode() for number in range(3)] == [mail.content for mail in box.mails]


def test_utf_8_addresses_and_a_declared_size_are_accepted(box: Mailbox) -> None:
    with smtplib.SMTP(box.host, box.port, timeout=10) as client:
        client.ehlo()
        assert {"size", "8bitmime", "smtputf8"} == set(client.esmtp_features)
        client.sendmail("jörg@example.test", "é@example.test", b"Subject: x\r\n\r\n", ["SMTPUTF8", "BODY=8BITMIME"])
    assert ("é@example.test",) == box.mails[0].recipients


def test_reset_forgets_the_envelope(box: Mailbox) -> None:
    answers = talk(box, b"HELO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nRSET\r\nDATA\r\nQUIT\r\n")
    assert b"503 " in answers
    assert () == box.mails


def test_a_message_that_is_cut_off_is_not_kept(box: Mailbox) -> None:
    talk(box, b"HELO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSubject: half")
    assert () == box.mails


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"MAIL a@x\r\n", b"501 "),
        (b"RCPT TO:<b@x>\r\n", b"503 "),
        (b"RCPT TO:<>\r\n", b"501 "),
        (b"VRFY a\r\n", b"502 "),
        (b"\xff\xfe\r\n", b"502 "),
        (b"A" * 10_000 + b"\r\n", b"502 "),
    ],
)
def test_what_it_does_not_understand_is_answered_with_an_error(box: Mailbox, said: bytes, code: bytes) -> None:
    assert code in talk(box, said + b"QUIT\r\n")


def test_a_mail_whose_conversation_broke_off_is_one_that_its_sender_may_not_know_of(box: Mailbox) -> None:
    kept = b"EHLO me\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<b@acme.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"

    talk(box, kept + b"QUIT\r\n")
    assert (1, 0) == (len(box.mails), box.unsure)

    talk(box, kept)
    assert box.wait_for(2, 10)
    until(lambda: box.unsure == 1, "the end of the conversation to be noticed")

    talk(box, kept + b"NOOP\r\n")
    assert (3, 1) == (len(box.mails), box.unsure)

"""A mailbox with quirks misbehaves as it says, and knows how many mails it left in doubt."""

import smtplib
from collections.abc import Iterator

import pytest

from tests.flow.processes import until
from tests.flow.trouble.mail import MailQuirks, Quirk
from webhook_svc.simulators.mailbox import Mailbox


@pytest.fixture
def quirks() -> MailQuirks:
    return MailQuirks()


@pytest.fixture
def box(quirks: MailQuirks) -> Iterator[Mailbox]:
    with Mailbox(quirk=quirks) as mailbox:
        yield mailbox


def send(box: Mailbox) -> None:
    with smtplib.SMTP(box.host, box.port, timeout=10) as client:
        client.sendmail("a@example.test", "b@example.test", "Subject: x\r\n\r\n")


def test_a_connection_may_be_lost_after_the_mail_was_kept(box: Mailbox, quirks: MailQuirks) -> None:
    lost = quirks.trouble(Quirk.LOST_AFTER_DATA)
    lost.start()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(box)

    until(lambda: box.unsure == 1, "the mailbox to note it")
    assert 1 == len(box.mails) == lost.happened


@pytest.mark.parametrize(
    ("quirk", "error", "code"),
    [
        (Quirk.BUSY, smtplib.SMTPConnectError, 421),
        (Quirk.PUT_OFF, smtplib.SMTPRecipientsRefused, 451),
        (Quirk.FULL, smtplib.SMTPDataError, 552),
    ],
)
def test_a_refusal_says_its_code_and_keeps_nothing(
    box: Mailbox, quirks: MailQuirks, quirk: Quirk, error: type[Exception], code: int
) -> None:
    refused = quirks.trouble(quirk)
    refused.start()
    with pytest.raises(error, match=str(code)):
        send(box)

    assert ((), 0, 1) == (box.mails, box.unsure, refused.happened)


def test_only_so_many_meet_it_and_nobody_after_its_end(box: Mailbox, quirks: MailQuirks) -> None:
    busy = quirks.trouble(Quirk.BUSY, number=1)
    busy.start()
    with pytest.raises(smtplib.SMTPConnectError):
        send(box)
    send(box)
    busy.start()
    busy.stop()
    send(box)

    assert (2, 1) == (len(box.mails), busy.happened)

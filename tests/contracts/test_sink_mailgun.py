"""What is Mailgun's own: its regions, its form, its words for what went wrong."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.errors import Permanent, Retryable, Unlikely, WebhookError
from webhook_svc.core.settings import Secret
from webhook_svc.http import HttpClient
from webhook_svc.sinks.mailgun import Mailgun, MailgunSettings

from .rigs.front import Fault
from .rigs.mailgun import MailgunRig


@pytest.fixture
def rig(servers: Any, tmp_path: Path, start: ExitStack) -> MailgunRig:
    return MailgunRig(servers, tmp_path, start)


def settings(**changes: Any) -> MailgunSettings:
    common = {"api_key": Secret("x"), "domain": "mg.acme.example"}
    return MailgunSettings(**{**common, "from_": "bot@acme.example", "to": ("ann@acme.example",), **changes})


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (400, Permanent),
        (401, Retryable),
        (403, Retryable),
        (404, Unlikely),
        (413, Permanent),
        (429, Retryable),
        (500, Retryable),
        (503, Retryable),
    ],
)
def test_the_answer_decides_the_fate(
    rig: MailgunRig, bundle: Any, progress: Any, status: int, fate: type[WebhookError]
) -> None:
    rig.front.meet(Fault(status=status, body=b'{"message": "no: hunter2"}'))
    with pytest.raises(WebhookError, match=f"Mailgun: the answer was {status}") as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_form_names_every_recipient_and_the_mail_no_hidden_one(rig: MailgunRig, bundle: Any, progress: Any) -> None:
    rig.make(bcc=["dan@acme.example"]).deliver(bundle().delivery(), progress)
    assert "dan@acme.example" in rig.outbox.mail().recipients
    assert b"dan@acme.example" not in rig.outbox.mail().raw


def test_mailgun_keeps_our_message_id_and_calls_the_mail_by_it(rig: MailgunRig, bundle: Any, progress: Any) -> None:
    receipt = rig.sink.deliver(bundle().delivery(), progress)
    assert rig.outbox.mail().headers["message-id"] == receipt.details["id"]


def test_a_domain_that_is_not_known_is_named(rig: MailgunRig, bundle: Any, progress: Any) -> None:
    sink = rig.make(domain="mg.other.example")
    with pytest.raises(Unlikely, match="not known in this region"):
        sink.deliver(bundle().delivery(), progress)
    with pytest.raises(Unlikely, match="not known in this region"):
        sink.check()


def test_check_asks_for_a_mail_that_cannot_be_sent(rig: MailgunRig) -> None:
    assert "Mailgun takes our key for mg.acme.example" == rig.sink.check()
    assert [("POST", "/v3/mg.acme.example/messages.mime")] == rig.front.seen
    assert [] == rig.outbox.mails


@pytest.mark.parametrize(
    ("region", "host"), [("us", "https://api.mailgun.net:443"), ("eu", "https://api.eu.mailgun.net:443")]
)
def test_each_region_has_its_address(region: str, host: str) -> None:
    assert frozenset({host}) == Mailgun("mail", settings(region=region), HttpClient(trusted=frozenset())).hosts()


@pytest.mark.parametrize("domain", ["", "..", "a/b", "a?b", "a b"])
def test_a_domain_that_would_bend_the_request_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        settings(domain=domain)

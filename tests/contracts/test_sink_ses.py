"""What is Amazon's own: its words for what went wrong, its signature, its account."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.errors import Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret, Url
from webhook_svc.http import HttpClient
from webhook_svc.sinks.ses import Ses, SesSettings

from .rigs.front import Fault
from .rigs.ses import SesRig


@pytest.fixture
def rig(servers: Any, tmp_path: Path, start: ExitStack) -> SesRig:
    return SesRig(servers, tmp_path, start)


def settings(**changes: Any) -> SesSettings:
    keys = {"access_key_id": Secret("a"), "secret_access_key": Secret("b")}
    return SesSettings(**{**keys, "from_": "bot@acme.example", "to": ("ann@acme.example",), **changes})


@pytest.mark.parametrize(
    ("status", "code", "fate"),
    [
        (400, "BadRequestException", Permanent),
        (400, "MessageRejected", Permanent),
        (400, "AccountSuspendedException", Permanent),
        (400, "MailFromDomainNotVerifiedException", Retryable),
        (400, "SendingPausedException", Retryable),
        (400, "LimitExceededException", Retryable),
        (403, "InvalidSignatureException", Retryable),
        (403, "UnrecognizedClientException", Retryable),
        (403, "AccessDeniedException", Retryable),
        (404, "NotFoundException", Permanent),
        (413, "RequestEntityTooLarge", Permanent),
        (429, "TooManyRequestsException", Retryable),
        (500, "InternalFailure", Retryable),
        (503, "ServiceUnavailable", Retryable),
    ],
)
def test_the_answer_decides_the_fate(
    rig: SesRig, bundle: Any, progress: Any, status: int, code: str, fate: type[WebhookError]
) -> None:
    headers = {"x-amzn-ErrorType": f"{code}:http://internal/coral", "Retry-After": "17"}
    rig.front.meet(Fault(status=status, headers=headers, body=b'{"message": "no: hunter2"}'))
    with pytest.raises(WebhookError, match=f"{status} {code}") as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert (17 if fate is Retryable else None) == getattr(caught.value, "after", None)
    assert "hunter2" not in str(caught.value)


def test_the_configuration_set_goes_along(rig: SesRig, bundle: Any, progress: Any) -> None:
    rig.make(configuration_set="contracts").deliver(bundle().delivery(), progress)
    with pytest.raises(Permanent, match="NotFoundException"):
        rig.make(configuration_set="another").deliver(bundle().delivery(), type(progress)())


def test_check_says_what_the_account_may(rig: SesRig) -> None:
    assert "Amazon SES in eu-central-1 takes our credentials and sends mail" == rig.sink.check()
    rig.outbox.sandbox = True
    assert rig.sink.check().endswith("to verified recipients alone (sandbox)")
    rig.outbox.paused = True
    with pytest.raises(Retryable, match="paused"):
        rig.sink.check()


@pytest.mark.parametrize(
    ("changes", "host"),
    [
        ({}, "https://email.us-east-1.amazonaws.com:443"),
        ({"region": "eu-west-3"}, "https://email.eu-west-3.amazonaws.com:443"),
        ({"endpoint": Url("https://vpce.example:9000/")}, "https://vpce.example:9000"),
    ],
)
def test_the_address_that_is_trusted_follows_from_the_region(changes: dict[str, Any], host: str) -> None:
    assert frozenset({host}) == Ses("mail", settings(**changes), HttpClient(trusted=frozenset())).hosts()


@pytest.mark.parametrize(
    "changes",
    [
        {"region": "eu.evil.example/"},
        {"configuration_set": "a b"},
        {"to": tuple(f"p{number}@acme.example" for number in range(51))},
    ],
)
def test_settings_that_do_not_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        settings(**changes)

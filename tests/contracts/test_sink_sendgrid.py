"""What is SendGrid's own: what it refuses in names, its sandbox, its words for what went wrong."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.errors import Permanent, Retryable, WebhookError

from .rigs.front import Fault
from .rigs.sendgrid import SendGridRig


@pytest.fixture
def rig(servers: Any, tmp_path: Path, start: ExitStack) -> SendGridRig:
    return SendGridRig(servers, tmp_path, start)


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (400, Permanent),
        (401, Retryable),
        (403, Retryable),
        (404, Permanent),
        (406, Permanent),
        (413, Permanent),
        (415, Permanent),
        (429, Retryable),
        (500, Retryable),
        (503, Retryable),
    ],
)
def test_the_answer_decides_the_fate_and_the_field_is_named(
    rig: SendGridRig, bundle: Any, progress: Any, status: int, fate: type[WebhookError]
) -> None:
    body = b'{"errors": [{"message": "no: hunter2", "field": "from.email", "help": null}]}'
    rig.front.meet(Fault(status=status, body=body))
    with pytest.raises(WebhookError, match=rf"{status} from\.email") as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"errors": 1}', b'{"errors": [1]}', b'{"errors": [{"field": "Hunter2, yes"}]}']
)
def test_an_error_that_says_nothing_useful_is_one_all_the_same(
    rig: SendGridRig, bundle: Any, progress: Any, body: bytes
) -> None:
    rig.front.meet(Fault(status=400, body=body))
    with pytest.raises(Permanent, match=r"SendGrid: the answer was 400$"):
        rig.sink.deliver(bundle().delivery(), progress)


@pytest.mark.parametrize(
    "sender", ["계약 <bot@acme.example>", "Acme <bot@acme.example>", '"A, B; C" <bot@acme.example>']
)
def test_a_name_that_it_would_refuse_is_changed_or_left_out(
    rig: SendGridRig, bundle: Any, progress: Any, sender: str
) -> None:
    to = ['"Ann; Legal, Dr." <ann@acme.example>', '", ;" <bob@acme.example>', "Böb <cid@acme.example>"]
    rig.make(**{"from": sender}, to=to).deliver(bundle().delivery(), progress)
    assert 3 == len(rig.outbox.mail().recipients)


def test_check_sends_nothing_and_looks_at_the_sender(rig: SendGridRig) -> None:
    assert "SendGrid takes our key and mails from bot@acme.example" == rig.sink.check()
    assert [] == rig.outbox.mails
    with pytest.raises(Retryable, match="403 from"):
        rig.make(**{"from": "bot@other.example"}).check()

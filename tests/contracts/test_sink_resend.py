"""What is Resend's own: its key against repeats, its words for what went wrong."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.errors import Conflict, Permanent, Retryable, WebhookError
from webhook_svc.sinks.resend import Resend

from .rigs.front import Fault
from .rigs.resend import ResendRig

NOW = 1_790_000_000.0
HOUR = 3600.0


@pytest.fixture
def rig(servers: Any, tmp_path: Path, start: ExitStack) -> ResendRig:
    return ResendRig(servers, tmp_path, start)


def at(rig: ResendRig, now: float) -> Resend:
    """The sink at that time."""
    return Resend("mail", rig.sink.settings, rig.sink.http, clock=lambda: now)


@pytest.mark.parametrize(
    ("status", "name", "fate"),
    [
        (400, "invalid_idempotency_key", Permanent),
        (400, "validation_error", Permanent),
        (401, "missing_api_key", Retryable),
        (403, "invalid_api_key", Retryable),
        (403, "validation_error", Retryable),
        (404, "not_found", Permanent),
        (405, "method_not_allowed", Permanent),
        (409, "concurrent_idempotent_requests", Retryable),
        (409, "invalid_idempotent_request", Conflict),
        (422, "invalid_attachment", Permanent),
        (422, "invalid_from_address", Permanent),
        (422, "missing_required_field", Permanent),
        (429, "rate_limit_exceeded", Retryable),
        (429, "daily_quota_exceeded", Retryable),
        (451, "security_error", Permanent),
        (500, "application_error", Retryable),
        (500, "internal_server_error", Retryable),
    ],
)
def test_the_answer_decides_the_fate(
    rig: ResendRig, bundle: Any, progress: Any, status: int, name: str, fate: type[WebhookError]
) -> None:
    body = json.dumps({"statusCode": status, "name": name, "message": "no: hunter2"}).encode()
    rig.front.meet(Fault(status=status, body=body, headers={"Retry-After": "17"}))
    with pytest.raises(WebhookError, match="Resend") as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert (17 if fate is Retryable else None) == getattr(caught.value, "after", None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("later", "repeats"), [(22 * HOUR, 0), (25 * HOUR, 1)])
def test_a_repeat_counts_once_the_key_is_forgotten(
    rig: ResendRig, bundle: Any, progress: Any, later: float, repeats: int
) -> None:
    rig.front.meet(Fault(passes=True))
    with pytest.raises(Retryable):
        at(rig, NOW).deliver(bundle().delivery(), progress)
    rig.front.forget()
    if repeats:
        rig.outbox.sent.clear()
    receipt = at(rig, NOW + later).deliver(bundle().delivery(), progress)
    assert (repeats, 1 + repeats) == (receipt.details["repeats"], len(rig.outbox.mails))


def test_two_workers_at_once_send_one_mail(rig: ResendRig, bundle: Any, progress: Any) -> None:
    rigs = [at(rig, NOW), at(rig, NOW)]
    with ThreadPoolExecutor(2) as pool:
        tries = [pool.submit(sink.deliver, bundle().delivery(), type(progress)()) for sink in rigs]
    assert {"re-1"} == {one.result().details["id"] for one in tries}
    assert rig.expected(bundle()) == rig.visible()


def test_a_key_whose_request_is_under_way_is_waited_for(rig: ResendRig, bundle: Any, progress: Any) -> None:
    rig.outbox.under_way.add("dlv_01")
    with pytest.raises(Retryable, match="concurrent_idempotent_requests"):
        rig.sink.deliver(bundle().delivery(), progress)


def test_a_key_whose_request_is_under_way_leaves_a_doubt(rig: ResendRig, bundle: Any, progress: Any) -> None:
    """What is under way may well be sent."""
    rig.outbox.under_way.add("dlv_01")
    with pytest.raises(Retryable):
        at(rig, NOW).deliver(bundle().delivery(), progress)
    rig.outbox.under_way.clear()
    assert 1 == at(rig, NOW + 25 * HOUR).deliver(bundle().delivery(), progress).details["repeats"]


def test_another_mail_under_the_same_key_is_a_conflict(rig: ResendRig, bundle: Any, progress: Any) -> None:
    at(rig, NOW).deliver(bundle().delivery(), progress)
    with pytest.raises(Conflict, match="settings were changed"):
        at(rig, NOW + 1).deliver(bundle(title="Another").delivery(), type(progress)())
    assert 1 == len(rig.outbox.mails)


def test_check_is_content_with_a_key_that_may_only_send(rig: ResendRig) -> None:
    assert "Resend takes our key and mails from acme.example" == rig.sink.check()
    rig.outbox.may_only_send = True
    assert "Resend takes our key, which may only send" == rig.sink.check()


def test_check_finds_a_domain_that_is_not_verified(rig: ResendRig) -> None:
    rig.outbox.status = "pending"
    with pytest.raises(Retryable, match=r"acme\.example is not verified"):
        rig.sink.check()

"""What every sink that speaks HTTP makes of trouble on the way: refusals, outages, answers that never come."""

from typing import Any

import pytest

from webhook_svc.core.errors import Permanent, Retryable, WebhookError

from .every import every_create_only_sink_over_http, every_sink_over_http
from .rigs.front import Fault

MAY_PASS = (401, 403, 408, 423, 425, 429, 500, 502, 503, 504, 507)
"""Credentials are rotated, rights are granted, locks are let go, quotas are raised, outages end."""
NEVER_PASSES = (400, 405, 413, 414, 422)


def named(bundle: Any, name: str) -> Any:
    """A bundle that meets no other."""
    return bundle(files={f"{name}/{name}.pdf": b"%PDF-1.7 " + name.encode()}, manifest_path=f"{name}/m.json", id=name)


def attempt(rig: Any, sent: Any, kept: Any) -> WebhookError | None:
    try:
        rig.again().deliver(sent.delivery(), kept)
    except WebhookError as error:
        return error
    return None


@every_sink_over_http
@pytest.mark.parametrize("status", MAY_PASS)
def test_what_may_pass_is_tried_again(rig: Any, bundle: Any, progress: Any, status: int) -> None:
    rig.front.meet(Fault(status=status))
    assert isinstance(attempt(rig, bundle(), progress), Retryable)
    with pytest.raises(Retryable):
        rig.again().check()
    rig.front.forget()
    assert attempt(rig, bundle(), progress) is None
    assert rig.expected(bundle()) == rig.visible()


@every_sink_over_http
@pytest.mark.parametrize("status", NEVER_PASSES)
def test_what_will_never_pass_is_given_up(rig: Any, bundle: Any, progress: Any, status: int) -> None:
    rig.front.meet(Fault(status=status))
    assert isinstance(attempt(rig, bundle(), progress), Permanent)
    assert {} == rig.visible()


@every_sink_over_http
def test_a_sink_waits_as_long_as_it_is_asked_to(rig: Any, bundle: Any, progress: Any) -> None:
    rig.front.meet(Fault(status=429, headers={"Retry-After": "77"}))
    error = attempt(rig, bundle(), progress)
    assert isinstance(error, Retryable)
    assert 77 == error.after


@every_create_only_sink_over_http
@pytest.mark.parametrize(
    "fault",
    [Fault(), Fault(passes=True), Fault(status=500, passes=True)],
    ids=["broken off", "answer lost", "500 though done"],
)
def test_trouble_at_any_request_leaves_one_effect(rig: Any, bundle: Any, progress: Any, fault: Fault) -> None:
    """Also where the server did what it was asked, and the answer never came."""
    kept = type(progress)
    rig.front.forget()
    assert attempt(rig, named(bundle, "count"), progress) is None
    expected = dict(rig.expected(named(bundle, "count")))
    for number in range(len(rig.front.seen)):
        sent, memory = named(bundle, f"at-{number}"), kept()
        rig.front.meet(fault, at=number)
        first = attempt(rig, sent, memory)
        rig.front.forget()
        assert first is None or isinstance(first, Retryable)
        assert first is None or attempt(rig, sent, memory) is None
        expected |= rig.expected(sent)
        assert expected == rig.visible()

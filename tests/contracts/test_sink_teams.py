"""What the Teams sink posts, and how it reads a workflow's answers."""

from typing import Any

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.teams import TeamsSettings

from .rigs.base import SECRETS
from .rigs.front import Fault
from .rigs.servers import free_port
from .rigs.teams import TeamsRig

PATH = "/workflows/1/triggers/manual/paths/invoke?sig=" + secret("sig")


@pytest.fixture
def rig(servers: Any, tmp_path: Any, start: Any) -> TeamsRig:
    return TeamsRig(servers, tmp_path, start)


def lines_of(card: dict[str, Any]) -> list[str]:
    return [block["inlines"][0]["text"] for block in card["body"]]


def test_a_card_is_plain_text_with_a_button(rig: TeamsRig, bundle: Any, progress: Any) -> None:
    sink = rig.make(text="{title}\n\n{count} file of {source}", link="https://archive.example/{document}?t={title}")
    sink.deliver(bundle(title="[Lease](http://evil.example) & <at>all</at>").delivery(), progress)
    (card,) = rig.workflow.cards
    assert ["[Lease](http://evil.example) & <at>all</at>", "1 file of contracts"] == lines_of(card)
    assert ["Bolder", None] == [block["inlines"][0].get("weight") for block in card["body"]]
    (button,) = card["actions"]
    assert "https://archive.example/doc-1?t=%5BLease%5D%28http%3A%2F%2Fevil.example%29%20%26%20" in button["url"]


@pytest.mark.parametrize("title", ["", "🖋" * 2000, "\x01" * 5000, "a\n" * 4000, "ü" * 5000])
def test_a_card_stays_below_28_kb_whatever_the_title(rig: TeamsRig, bundle: Any, progress: Any, title: str) -> None:
    rig.make(text="{title}" * 6, link="https://archive.example/{title}").deliver(
        bundle(title=title).delivery(), progress
    )
    assert 1 == len(rig.workflow.cards)
    assert 60 >= len(rig.workflow.cards[0]["body"])


def test_a_text_that_comes_out_empty_names_the_delivery(rig: TeamsRig, bundle: Any, progress: Any) -> None:
    rig.make(text="{missing}").deliver(bundle().delivery(), progress)
    assert ["dlv_01"] == lines_of(rig.workflow.cards[0])


@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (Fault(status=200, headers={"Content-Type": "text/html"}, body=b"<html>"), Retryable, "no workflow"),
        (Fault(status=400, body=b'{"error": {"code": "TriggerInputSchemaMismatch"}}'), Permanent, "Mismatch"),
        (Fault(status=400, body=b'{"error": {"code": "a text of hunter2"}}'), Permanent, "400"),
        (Fault(status=401, body=b'{"error": {"code": "DirectApiAuthorizationRequired"}}'), Retryable, "DirectApi"),
        (Fault(status=403, body=b"[]"), Retryable, "403"),
        (Fault(status=404), Permanent, "404"),
        (Fault(status=413), Permanent, "413"),
        (Fault(status=429, headers={"Retry-After": "17"}), Retryable, "429"),
        (Fault(status=502), Retryable, "502"),
    ],
)
def test_the_answer_decides_the_fate(
    rig: TeamsRig, bundle: Any, progress: Any, fault: Fault, fate: type[WebhookError], said: str
) -> None:
    rig.front.meet(fault)
    with pytest.raises(WebhookError, match=said) as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert (17 if "Retry-After" in fault.headers else None) == getattr(caught.value, "after", None)
    assert not [one for one in ("hunter2", SECRETS[1]) if one in str(caught.value)]


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_workflow_with_an_answer_of_its_own_is_believed(
    rig: TeamsRig, bundle: Any, progress: Any, status: int
) -> None:
    rig.front.meet(Fault(status=status, body=b"1"))
    assert not rig.sink.deliver(bundle().delivery(), progress).found


@pytest.mark.parametrize(
    ("fault", "repeats"), [(Fault(passes=True), 1), (Fault(status=504, passes=True), 1), (Fault(status=429), 0)]
)
def test_a_notice_is_rather_sent_twice_than_lost_and_counted(
    rig: TeamsRig, bundle: Any, progress: Any, fault: Fault, repeats: int
) -> None:
    rig.front.meet(fault)
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert repeats == rig.again().deliver(bundle().delivery(), progress).details["repeats"]
    assert rig.again().deliver(bundle().delivery(), progress).found
    assert 1 + repeats == len(rig.workflow.cards)


def test_a_workflow_that_nobody_reached_was_told_nothing(rig: TeamsRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(Retryable):
        rig.make(url=f"http://127.0.0.1:{free_port()}{PATH}").deliver(bundle().delivery(), progress)
    assert 0 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]


def test_check_posts_nothing(rig: TeamsRig) -> None:
    rig.sink.check()
    assert ["OPTIONS"] == [method for method, _ in rig.front.seen]


@pytest.mark.parametrize(
    "changes",
    [
        {"url": Secret("https://acme.webhook.office.com/webhookb2/" + secret("key"))},
        {"url": Secret("https://outlook.office.com:443/webhook/" + secret("key"))},
        {"url": Secret(secret("no-address"))},
        {"text": "{titel}"},
        {"text": " \n"},
        {"link": "archive.example/{document}"},
        {"link": "https://archive.example/{files}"},
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_secret(changes: dict[str, Any]) -> None:
    common = {"url": Secret("https://x.environment.api.powerplatform.com" + PATH)}
    with pytest.raises(ValueError, match=r"\w") as caught:
        TeamsSettings(**{**common, **changes})
    assert secret("")[:6] not in str(caught.value)

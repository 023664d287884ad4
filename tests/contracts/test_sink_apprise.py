"""What the apprise sink makes of a library that says no more than yes or no."""

import logging
from collections.abc import Iterator
from typing import Any

import apprise
import pytest
import requests

from tests.guard import secret
from webhook_svc.core.errors import Permanent, Retryable
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.apprise import AppriseSettings

from .rigs.apprise import AppriseRig
from .rigs.base import SECRETS
from .rigs.front import Fault
from .rigs.servers import free_port


@pytest.fixture
def rig(servers: Any, tmp_path: Any, start: Any) -> AppriseRig:
    return AppriseRig(servers, tmp_path, start)


def test_a_notice_has_a_title_and_a_text_that_stay_as_they_are(rig: AppriseRig, bundle: Any, progress: Any) -> None:
    title = "{{x}} <b>*Lease*</b> \\n :smile: & 서명"
    receipt = rig.make(title="{title}!", text="{title}?").deliver(bundle(title=title).delivery(), progress)
    (notice,) = rig.receiver.notices
    assert (f"{title}!", f"{title}?") == (notice["title"], notice["message"])
    assert "JSON" == receipt.location


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.names.append(record.name)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Who logs something that reaches the service's log."""
    handler = Heard()
    logging.getLogger().addHandler(handler)
    yield handler.names
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_a_no_is_tried_again_and_tells_the_status_alone(
    rig: AppriseRig, bundle: Any, progress: Any, status: int, heard: list[str]
) -> None:
    rig.front.meet(Fault(status=status))
    with pytest.raises(Retryable, match=f"the service answered {status}$"):
        rig.sink.deliver(bundle().delivery(), progress)
    assert "apprise" not in heard


def test_a_wrong_password_is_tried_again(rig: AppriseRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(Retryable, match="401") as caught:
        rig.make(password=f"{SECRETS[0]}-wrong").deliver(bundle().delivery(), progress)
    assert SECRETS[0] not in str(caught.value)
    assert {} == rig.visible()


def test_a_notice_is_rather_sent_twice_than_lost_and_counted(rig: AppriseRig, bundle: Any, progress: Any) -> None:
    rig.front.meet(Fault(passes=True))
    with pytest.raises(Retryable, match=r"could not deliver it$"):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert 1 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]
    assert rig.again().deliver(bundle().delivery(), progress).found
    assert 2 == len(rig.receiver.notices)


@pytest.mark.parametrize("where", ["127.0.0.1:{port}", "nobody.invalid"], ids=["refused", "unknown name"])
def test_a_service_that_nobody_reached_was_told_nothing(
    rig: AppriseRig, bundle: Any, progress: Any, where: str, heard: list[str]
) -> None:
    url = f"json://{where.format(port=free_port())}/{SECRETS[1]}"
    with pytest.raises(Retryable, match=r"could not deliver it$"):
        rig.make(url=url).deliver(bundle(title="Socket Exception error=500").delivery(), progress)
    assert 0 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]
    assert "apprise" not in heard


@pytest.mark.parametrize(
    "said",
    [
        ["Socket Exception: NewConnectionError", "Socket Exception: reset"],
        ["Sent it", "Socket Exception: NewConnectionError"],
        [],
    ],
    ids=["broken off", "a part was sent", "nothing is known"],
)
def test_a_service_that_may_have_been_told_something_is_told_again(
    rig: AppriseRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    def post(*_: Any, **__: Any) -> None:
        for one in said:
            logging.getLogger("apprise").debug(one)
        raise requests.ConnectionError("NewConnectionError" if said else "")

    with monkeypatch.context() as patched:
        patched.setattr(requests, "request", post)
        with pytest.raises(Retryable):
            rig.sink.deliver(bundle().delivery(), progress)
    assert 1 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]


def test_a_service_that_takes_too_long_is_tried_again(
    rig: AppriseRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = apprise.AppriseResult(apprise.AppriseResultStatus.TIMEOUT)
    monkeypatch.setattr(apprise.Apprise, "notify", lambda *_, **__: late)
    with pytest.raises(Retryable, match="in time"):
        rig.sink.deliver(bundle().delivery(), progress)


def test_check_reads_the_address_and_sends_nothing(rig: AppriseRig) -> None:
    assert "of JSON" in rig.sink.check()
    assert [] == rig.front.seen


@pytest.mark.parametrize("address", ["nosuch://h.example/x", "discord://x", "tgram://" + secret("token")])
def test_an_address_that_apprise_cannot_read_is_given_up(
    rig: AppriseRig, bundle: Any, progress: Any, address: str
) -> None:
    sink = rig.make(url=address)
    with pytest.raises(Permanent, match="cannot read the address"):
        sink.check()
    with pytest.raises(Permanent, match="cannot read the address"):
        sink.deliver(bundle().delivery(), progress)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": Secret(secret("no-address"))},
        {"url": Secret("")},
        {"text": ""},
        {"text": "{titel}"},
        {"title": "{"},
        {"timeout": 0.0},
        {"timeout": 3600.0},
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_secret(changes: dict[str, Any]) -> None:
    common = {"url": Secret("ntfy://ntfy.example/" + secret("topic"))}
    with pytest.raises(ValueError, match=r"\w") as caught:
        AppriseSettings(**{**common, **changes})
    assert secret("")[:6] not in str(caught.value)

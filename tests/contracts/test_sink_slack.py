"""What the Slack sink makes of a workspace that says no with a 200, and of a hook that says it with a status."""

import re
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Permanent, Retryable, Unlikely, WebhookError
from webhook_svc.core.outgoing import Answer
from webhook_svc.core.settings import Secret, Url
from webhook_svc.sinks.slack import SlackSettings

from .rigs.base import SECRETS, make_sink
from .rigs.front import Fault
from .rigs.servers import free_port
from .rigs.slack import CHANNEL, SlackRig

DEED = b"%PDF-1.7 deed %%EOF"
HOOK = Secret("https://hooks.slack.example/services/T0/B0/" + secret("key"))
TOKEN = Secret(secret("token"))


@pytest.fixture
def rig(servers: Any, tmp_path: Any, start: Any) -> SlackRig:
    return SlackRig(servers, tmp_path, start)


# --- files --------------------------------------------------------------------------------------------------------


def test_all_files_are_shared_at_once_under_one_text(rig: SlackRig, bundle: Any, progress: Any) -> None:
    sent = bundle(files={"a/one.pdf": b"%PDF-1.7 one", "a/two.pdf": b"%PDF-1.7 two"}, title="<!channel> & Söhne")
    receipt = rig.make(text="*{title}* ({count})").deliver(sent.delivery(), progress)
    assert ["*&lt;!channel&gt; &amp; Söhne* (2)"] == rig.workspace.comments
    assert {"one.pdf", "two.pdf"} == set(rig.visible())
    assert (2, f"Slack channel {CHANNEL}") == (len(receipt.details["ids"]), receipt.location)


def test_of_many_files_some_are_remembered_looked_for_and_told_of(
    rig: SlackRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(rig.sink), "remembered", 2)
    sent = bundle(files={f"a/{number}.pdf": b"%%PDF-1.7 %d" % number for number in range(4)})
    rig.front.meet(Fault(passes=True), at=8)
    with pytest.raises(Retryable):
        rig.sink.deliver(sent.delivery(), progress)
    assert 2 == len(progress.load()["begun"]["ids"])
    rig.front.forget()
    first = rig.again().deliver(sent.delivery(), progress)
    assert ["/api/files.info"] * 2 == [target for _, target in rig.front.seen]
    assert first.details == rig.again().deliver(sent.delivery(), progress).details
    assert rig.expected(sent) == rig.visible()


def test_a_file_of_more_than_1_gib_is_refused_before_anything_is_begun(
    rig: SlackRig, bundle: Any, progress: Any
) -> None:
    delivery = bundle().delivery()
    part = replace(delivery.files[0].part, size=1024**3 + 1)
    delivery = replace(delivery, files=(replace(delivery.files[0], part=part),))
    with pytest.raises(Permanent, match="1 GiB"):
        rig.sink.deliver(delivery, progress)
    assert [] == rig.front.seen
    rig.hook().deliver(delivery, progress)
    assert "1073741825 bytes" in rig.workspace.notices[0]


def test_the_uploads_address_gets_no_token(rig: SlackRig, bundle: Any, progress: Any) -> None:
    """The stand-in refuses it there."""
    rig.sink.deliver(bundle().delivery(), progress)
    asked = [target.partition("?")[0] for _, target in rig.front.seen]
    expected = ["/api/files.getUploadURLExternal", "/upload/v1/F00000000", "/api/files.completeUploadExternal"]
    assert expected == asked


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        ("ratelimited", Retryable),
        ("internal_error", Retryable),
        ("fatal_error", Retryable),
        ("service_unavailable", Retryable),
        ("invalid_auth", Retryable),
        ("token_revoked", Retryable),
        ("account_inactive", Retryable),
        ("missing_scope", Retryable),
        ("not_in_channel", Retryable),
        ("channel_not_found", Unlikely),
        ("is_archived", Permanent),
        ("file_upload_size_restricted", Permanent),
        ("invalid_arguments", Permanent),
        ("Bad Words of hunter2", Permanent),
    ],
)
def test_a_200_that_says_no_decides_the_fate(
    rig: SlackRig, bundle: Any, progress: Any, error: str, fate: type[WebhookError]
) -> None:
    rig.workspace.errors = [error]
    with pytest.raises(WebhookError) as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert (error in str(caught.value)) is bool(re.fullmatch("[a-z_]+", error))
    assert {} == rig.visible()


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"ok": true}', b'{"ok": true, "upload_url": 1, "file_id": "F1"}', b'{"ok": "yes"}', b"[]"]
)
def test_what_is_no_answer_of_slack_is_no_success(rig: SlackRig, bundle: Any, progress: Any, body: bytes) -> None:
    rig.front.meet(Fault(status=200, body=body), at=0)
    with pytest.raises((Retryable, Permanent)):
        rig.sink.deliver(bundle().delivery(), progress)
    assert {} == rig.visible()


def test_an_upload_to_a_place_inside_is_refused(rig: SlackRig, bundle: Any, progress: Any) -> None:
    inside = b'{"ok": true, "upload_url": "http://169.254.169.254/latest", "file_id": "F1"}'
    rig.front.meet(Fault(status=200, body=inside), at=0)
    with pytest.raises(Permanent, match=r"169\.254"):
        rig.sink.deliver(bundle().delivery(), progress)


class Leading:
    """A client that is led out of https."""

    def call(self, request: Any, **_: Any) -> Answer:
        assert request.url.startswith("https:")
        answer = b'{"ok": true, "upload_url": "http://files.slack.example/upload", "file_id": "F1"}'
        return Answer(status=200, body=answer)


def test_an_upload_out_of_https_is_refused(rig: SlackRig, bundle: Any, progress: Any) -> None:
    settings = SlackSettings(token=TOKEN, channel=CHANNEL)
    with pytest.raises(Retryable, match="may be read"):
        type(rig.sink)("chat", settings, cast(Any, Leading())).deliver(bundle().delivery(), progress)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    "fault",
    [Fault(), Fault(passes=True), Fault(status=500, passes=True), Fault(status=429)],
    ids=["broken off", "answer lost", "500 though done", "429"],
)
def test_trouble_at_any_request_shares_the_files_once(
    rig: SlackRig, bundle: Any, progress: Any, fault: Fault, number: int
) -> None:
    rig.front.meet(fault, at=number)
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    rig.again().deliver(bundle().delivery(), progress)
    assert {"deed.pdf": DEED} == rig.visible()
    assert rig.again().deliver(bundle().delivery(), progress).found


class Unreached:
    """A client that is refused the connection for one method."""

    def __init__(self, http: Any, method: str) -> None:
        self.http = http
        self.method = method

    def call(self, request: Any, **_: Any) -> Any:
        if request.url.endswith(self.method):
            raise Retryable("nobody there")
        return self.http.call(request)


def test_files_that_were_not_shared_for_nobody_was_there_are_no_repeat(
    rig: SlackRig, bundle: Any, progress: Any
) -> None:
    http = Unreached(rig.sink.http, "files.completeUploadExternal")
    with pytest.raises(Retryable, match="nobody there"):
        type(rig.sink)("chat", rig.sink.settings, cast(Any, http)).deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert 0 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]
    assert "/api/files.info" not in [target for _, target in rig.front.seen]


def test_what_may_not_be_looked_at_is_shared_again_and_counted(rig: SlackRig, bundle: Any, progress: Any) -> None:
    rig.workspace.may_look = False
    rig.front.meet(Fault(passes=True), at=2)
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert 1 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]
    assert 2 == len(rig.workspace.comments)


def test_a_look_that_fails_is_no_reason_to_share_again(rig: SlackRig, bundle: Any, progress: Any) -> None:
    rig.front.meet(Fault(passes=True), at=2)
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.meet(Fault(status=503))
    with pytest.raises(Retryable, match="looking"):
        rig.again().deliver(bundle().delivery(), progress)


# --- notices ------------------------------------------------------------------------------------------------------


def test_a_notice_says_what_is_signed(rig: SlackRig, bundle: Any, progress: Any) -> None:
    sink = rig.hook()
    assert not sink.deliver(bundle().delivery(), progress).found
    assert sink.deliver(bundle().delivery(), progress).found
    (notice,) = rig.workspace.notices
    assert notice.startswith("Lease is signed and complete.\n- deed.pdf (19 bytes, SHA-256 ")
    assert notice.endswith("\nSource contracts, document doc-1, delivery dlv_01.")


def test_a_notice_is_cut_at_4000_characters(rig: SlackRig, bundle: Any, progress: Any) -> None:
    rig.hook(text="{title}" * 9).deliver(bundle(title="long" * 200).delivery(), progress)
    assert 4000 == len(rig.workspace.notices[0])


@pytest.mark.parametrize(
    ("fault", "fate"),
    [
        (Fault(status=400, body=b"invalid_payload"), Permanent),
        (Fault(status=403, body=b"action_prohibited"), Retryable),
        (Fault(status=404, body=b"no_service"), Permanent),
        (Fault(status=410, body=b"channel_is_archived"), Permanent),
        (Fault(status=429, headers={"Retry-After": "17"}), Retryable),
        (Fault(status=500, body=b"rollup_error"), Retryable),
        (Fault(status=200, body=b"<html>log in to the guest network</html>"), Retryable),
        (Fault(status=302, headers={"Location": "http://127.0.0.1:1/"}), Permanent),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else None,
)
def test_the_hooks_status_decides_the_fate(
    rig: SlackRig, bundle: Any, progress: Any, fault: Fault, fate: type[WebhookError]
) -> None:
    rig.front.meet(fault)
    with pytest.raises(WebhookError) as caught:
        rig.hook().deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert (17 if fault.headers.get("Retry-After") else None) == getattr(caught.value, "after", None)
    assert not [one for one in ("hunter2", "guest", SECRETS[1]) if one in str(caught.value)]


@pytest.mark.parametrize(
    ("fault", "repeats"), [(Fault(passes=True), 1), (Fault(status=500, passes=True), 1), (Fault(status=429), 0)]
)
def test_a_notice_is_rather_sent_twice_than_lost_and_counted(
    rig: SlackRig, bundle: Any, progress: Any, fault: Fault, repeats: int
) -> None:
    rig.front.meet(fault)
    with pytest.raises(Retryable):
        rig.hook().deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert repeats == rig.hook().deliver(bundle().delivery(), progress).details["repeats"]
    assert 1 + repeats == len(rig.workspace.notices)


def test_a_hook_that_nobody_reached_was_told_nothing(rig: SlackRig, bundle: Any, progress: Any) -> None:
    sink = make_sink("slack", {"url": f"http://127.0.0.1:{free_port()}/services/T0/B0/{SECRETS[1]}"})
    with pytest.raises(Retryable):
        sink.deliver(bundle().delivery(), progress)
    assert 0 == rig.hook().deliver(bundle().delivery(), progress).details["repeats"]


def test_check_tells_a_hook_that_works_from_one_that_is_gone(rig: SlackRig) -> None:
    assert "knows the hook" in rig.hook().check()
    with pytest.raises(Permanent, match="404 no_service"):
        rig.hook("another").check()
    rig.workspace.archived = True
    with pytest.raises(Permanent, match="410 channel_is_archived"):
        rig.hook().check()
    assert [] == rig.workspace.notices


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"url": HOOK, "token": TOKEN, "channel": CHANNEL},
        {"token": TOKEN},
        {"token": TOKEN, "channel": "#contracts"},
        {"url": Secret(secret("no-address"))},
        {"url": HOOK, "text": "{titel}"},
        {"url": HOOK, "text": "{"},
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_secret(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        SlackSettings(**changes)
    assert secret("")[:6] not in str(caught.value)


def test_another_slack_is_asked_where_the_settings_say(rig: SlackRig) -> None:
    settings = SlackSettings(token=TOKEN, channel=CHANNEL, api=Url("https://slack-gov.com/api"))
    assert {"https://slack-gov.com:443"} == type(rig.sink)("chat", settings, rig.sink.http).hosts()
    assert {"https://hooks.slack.example:443"} == type(rig.sink)("chat", SlackSettings(url=HOOK), rig.sink.http).hosts()

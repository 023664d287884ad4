"""What is Postmark's own: its codes, the recipients that it leaves out, its servers."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Permanent, Retryable, WebhookError
from webhook_svc.core.outgoing import Answer
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.postmark import Postmark, PostmarkSettings

from .rigs.base import make_sink
from .rigs.front import Fault
from .rigs.postmark import PostmarkRig


@pytest.fixture
def rig(servers: Any, tmp_path: Path, start: ExitStack) -> PostmarkRig:
    return PostmarkRig(servers, tmp_path, start)


@pytest.mark.parametrize(
    ("status", "code", "fate"),
    [
        (401, 10, Retryable),
        (503, 100, Retryable),
        (422, 300, Permanent),
        (422, 400, Retryable),
        (422, 401, Retryable),
        (422, 402, Permanent),
        (422, 405, Retryable),
        (422, 406, Permanent),
        (422, 409, Permanent),
        (422, 411, Permanent),
        (422, 412, Retryable),
        (422, 413, Retryable),
        (413, 0, Permanent),
        (415, 0, Permanent),
        (429, 429, Retryable),
        (422, 1235, Permanent),
        (500, 0, Retryable),
        (503, 0, Retryable),
    ],
)
def test_the_code_decides_the_fate(
    rig: PostmarkRig, bundle: Any, progress: Any, status: int, code: int, fate: type[WebhookError]
) -> None:
    body = json.dumps({"ErrorCode": code, "Message": "no: hunter2"}).encode()
    rig.front.meet(Fault(status=status, body=body, headers={"Retry-After": "17"}))
    with pytest.raises(WebhookError, match=f"Postmark: the answer was {status} {code}") as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert (17 if fate is Retryable else None) == getattr(caught.value, "after", None)
    assert "hunter2" not in str(caught.value)


def test_whom_postmark_leaves_out_is_named_and_the_others_have_it_once(
    rig: PostmarkRig, bundle: Any, progress: Any
) -> None:
    rig.outbox.suppressed = {"ann@acme.example", "cid@acme.example"}
    sink = rig.make(cc=["Cid@acme.example", "dan@acme.example"])
    rig.outbox.suppressed.add("Cid@acme.example")
    for _ in range(2):
        with pytest.raises(Permanent, match=r"2 of the recipients \(a\*\*\*@acme.example, C\*\*\*@acme.example\)"):
            sink.deliver(bundle().delivery(), progress)
    assert ["bob@acme.example", "dan@acme.example"] == rig.outbox.mail().recipients
    assert "acme" not in progress.text


def test_where_nobody_is_left_nothing_was_sent(rig: PostmarkRig, bundle: Any, progress: Any) -> None:
    rig.outbox.suppressed = {"ann@acme.example", "bob@acme.example"}
    with pytest.raises(Permanent, match="all recipients are inactive"):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.outbox.suppressed.clear()
    assert 0 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]


def test_a_kind_of_file_that_may_not_be_attached_is_given_up(rig: PostmarkRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(Permanent, match="of that kind"):
        rig.sink.deliver(bundle(files={"a/setup.exe": b"MZ"}).delivery(), progress)


def test_the_message_stream_goes_along(rig: PostmarkRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(Permanent, match="no such message stream"):
        rig.make(message_stream="broadcasts").deliver(bundle().delivery(), progress)


def test_postmark_is_told_to_keep_our_message_id(rig: PostmarkRig, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    assert "true" == rig.outbox.mail().headers["x-pm-keepid"]


def test_check_says_where_a_server_delivers_nothing(rig: PostmarkRig) -> None:
    assert "Postmark takes the token of its server" == rig.sink.check()
    rig.outbox.delivers = "Sandbox"
    assert rig.sink.check().endswith("it is a sandbox and delivers nothing")


@pytest.mark.parametrize(
    "changes", [{"message_stream": "a b"}, {"to": tuple(f"p{number}@acme.example" for number in range(51))}]
)
def test_settings_that_do_not_work_are_refused(changes: dict[str, Any]) -> None:
    common = {"server_token": Secret("x"), "from_": "bot@acme.example", "to": ("ann@acme.example",)}
    with pytest.raises(ValueError, match=r"\w"):
        PostmarkSettings(**{**common, **changes})


@pytest.mark.parametrize(
    "wording",
    [
        "these inactive addresses: board@acme.example.",
        "these inactive addresses: board@acme.example. Inactive recipients are ones that have generated a hard bounce.",
        "Some recipients are inactive, namely <BOARD@acme.example>",
    ],
)
def test_who_is_left_out_is_found_however_it_is_said(wording: str) -> None:
    table = {"server_token": secret("t"), "from": "a@acme.example", "to": ["legal@acme.example", "board@acme.example"]}
    sink = make_sink("postmark", table)
    assert isinstance(sink, Postmark)
    said = {"ErrorCode": 0, "Message": f"Message OK, but will not deliver to {wording}", "MessageID": "1"}
    assert ("board@acme.example",) == sink._taken(Answer(status=200, body=json.dumps(said).encode())).left_out


def test_where_nobody_can_be_told_to_be_left_out_nobody_is_said_to_have_it() -> None:
    sink = make_sink("postmark", {"server_token": secret("t"), "from": "a@b.example", "to": ["c@b.example"]})
    assert isinstance(sink, Postmark)
    answer = Answer(status=200, body=b'{"Message": "somebody is inactive", "MessageID": "1"}')
    assert ("c@b.example",) == sink._taken(answer).left_out

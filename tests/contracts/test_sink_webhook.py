"""What the webhook sink sends and how it reads answers, against a receiver that verifies each signature."""

import json
import time
import tracemalloc
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.guard import secret
from webhook_svc.core.errors import ClaimLost, Permanent, Retryable, WebhookError
from webhook_svc.core.outgoing import Upload
from webhook_svc.core.settings import Secret
from webhook_svc.core.types import Delivery
from webhook_svc.signing.keys import decode_key
from webhook_svc.sinks.shared.pieces import Entry, form, in_base64, joined
from webhook_svc.sinks.webhook import WebhookSettings, signature

from .rigs.base import SECRETS
from .rigs.front import Fault
from .rigs.servers import Servers
from .rigs.webhook import WHSEC, Receiver, WebhookRig

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "published.json"
OTHER = "whsec_" + "QUJD" * 8
URL = Secret("https://h.example/in?key=" + secret("key"))


@pytest.fixture
def rig(servers: Servers, tmp_path: Path, start: ExitStack) -> WebhookRig:
    return WebhookRig(servers, tmp_path, start)


def published() -> Iterator[Any]:
    for vector in json.loads(VECTORS.read_text()) if VECTORS.is_file() else []:
        signed = vector["headers"].get("webhook-signature", "")
        if vector["provider"] == "standard-webhooks" and vector["expected"] == "valid" and signed.count("v1,") == 1:
            yield pytest.param(vector, id=vector["id"])


# --- what is sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", list(published()))
def test_the_signature_is_that_of_the_published_suites(vector: Any) -> None:
    headers, body = vector["headers"], b64decode(vector["body_base64"])
    key = decode_key(vector["secret_or_key"], "whsec")
    made = signature([key], headers["webhook-id"], headers["webhook-timestamp"], joined(body))
    assert headers["webhook-signature"] == made


def test_the_json_holds_the_manifest_and_what_each_file_is(rig: WebhookRig, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    placed = bundle().delivery().files[0]
    expected = {
        "type": "signing.completed",
        "timestamp": "2026-09-21T14:13:20+00:00",
        "data": {
            "delivery": "dlv_01",
            "manifest": {"document": "doc-1"},
            "files": [
                {
                    "kind": "document",
                    "name": "deed.pdf",
                    "path": placed.path,
                    "sha256": placed.part.sha256,
                    "size": 19,
                    "content_type": "application/pdf",
                    "content": "JVBERi0xLjcgZGVlZCAlJUVPRg==",
                }
            ],
        },
    }
    assert expected == rig.receiver.payloads["dlv_01"]


@pytest.mark.parametrize("files", ["base64", "multipart", "none"])
def test_a_delivery_without_a_time_of_completion_is_json_too(
    rig: WebhookRig, bundle: Any, progress: Any, files: str
) -> None:
    delivery: Delivery = bundle(files={"a/1.pdf": b"1", "a/2.pdf": b"22"}).delivery()
    object.__setattr__(delivery, "completed", None)
    rig.make(files=files).deliver(delivery, progress)
    payload = rig.receiver.payloads["dlv_01"]
    assert payload["timestamp"] is None
    assert ["1.pdf", "2.pdf"] == [one["name"] for one in payload["data"]["files"]]


def test_multipart_carries_files_beyond_the_limit_and_json_does_not(
    rig: WebhookRig, bundle: Any, progress: Any
) -> None:
    sent = bundle(files={"a/ein „Wort“.pdf": bytes(range(256)) * 1000, "a/empty.bin": b""})
    with pytest.raises(Permanent, match="256000 bytes"):
        rig.make(limit=255_999).deliver(sent.delivery(), progress)
    assert [] == rig.front.seen
    rig.make(files="multipart", limit=0).deliver(sent.delivery(), progress)
    assert sent.files == rig.visible()
    assert "content" not in rig.receiver.payloads["dlv_01"]["data"]["files"][0]


def test_none_sends_no_bytes_of_a_file_and_opens_none(rig: WebhookRig, bundle: Any, progress: Any) -> None:
    receipt = rig.make(files="none").deliver(bundle(lost={"deed.pdf": 0}).delivery(), progress)
    assert {} == rig.visible()
    assert (0, []) == (receipt.details["bytes"], receipt.details["sha256"])


def test_every_try_has_the_same_id_and_body_and_a_time_of_its_own(
    rig: WebhookRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(int(time.time()))
    rig.receiver.answers = [(500, {}), (503, {}), (429, {})]
    for expected in (Retryable, Retryable, Retryable, None):
        sink: Any = rig.again()
        monkeypatch.setattr(sink, "_clock", lambda: next(ticks))
        if expected is None:
            receipt = sink.deliver(bundle().delivery(), progress)
        else:
            with pytest.raises(expected):
                sink.deliver(bundle().delivery(), progress)
    (bodies,) = rig.receiver.bodies.values()
    assert 4 == len(bodies) == len(set(rig.receiver.stamps)) == len(set(rig.receiver.signatures))
    assert 1 == len(set(bodies))
    assert not receipt.found


def test_during_a_rotation_the_old_and_the_new_secret_verify(rig: WebhookRig, bundle: Any, progress: Any) -> None:
    rig.make(secrets=[OTHER, WHSEC]).deliver(bundle().delivery(), progress)
    rig.receiver.verifier = Receiver(OTHER).verifier
    rig.make(secrets=[WHSEC, OTHER]).deliver(bundle(id="dlv_02").delivery(), type(progress)())
    assert {"dlv_01", "dlv_02"} == set(rig.receiver.payloads)


def test_the_claim_is_asked_for_after_the_last_byte_was_read(rig: WebhookRig, bundle: Any, progress: Any) -> None:
    """Lost while a large body travels, it still keeps the receiver from getting it whole."""
    content = b"0123456789abcdef" * 100_000
    opened: list[BytesIO] = []

    def lost() -> None:
        assert [len(content), len(content)] == [one.tell() for one in opened]
        raise ClaimLost

    def open_(_: Any) -> BinaryIO:
        opened.append(Kept(content))
        return opened[-1]

    delivery = bundle(files={"a/large.bin": content}, still_ours=lost).delivery()
    object.__setattr__(delivery, "open", open_)
    with pytest.raises(ClaimLost):
        rig.make(files="multipart").deliver(delivery, progress)
    assert {} == rig.receiver.bodies


class Kept(BytesIO):
    def close(self) -> None:
        """Its place is asked for later."""


# --- what is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "fate", "after"),
    [
        (Fault(status=301, headers={"Location": "http://127.0.0.1:1/"}), Permanent, None),
        (Fault(status=400), Permanent, None),
        (Fault(status=404), Permanent, None),
        (Fault(status=409), Retryable, None),
        (Fault(status=410), Permanent, None),
        (Fault(status=429, headers={"Retry-After": "17"}), Retryable, 17),
        (Fault(status=500), Retryable, None),
        (Fault(status=503, headers={"Retry-After": "17"}), Retryable, 17),
        (Fault(), Retryable, None),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else None,
)
def test_the_answer_decides_the_fate(
    rig: WebhookRig, bundle: Any, progress: Any, fault: Fault, fate: type[WebhookError], after: float | None
) -> None:
    rig.front.meet(fault)
    with pytest.raises(WebhookError) as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert fate is type(caught.value)
    assert after == getattr(caught.value, "after", None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("fault", [Fault(passes=True), Fault(status=502, passes=True)], ids=["lost", "502"])
def test_a_try_whose_answer_was_lost_is_repeated_and_counted(
    rig: WebhookRig, bundle: Any, progress: Any, fault: Fault
) -> None:
    rig.front.meet(fault)
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    receipt = rig.again().deliver(bundle().delivery(), progress)
    assert (False, 1) == (receipt.found, receipt.details["repeats"])
    assert [2] == [len(bodies) for bodies in rig.receiver.bodies.values()]
    assert bundle().files == rig.visible()


@pytest.mark.parametrize("status", [401, 409, 429])
def test_a_clear_no_is_no_repeat(rig: WebhookRig, bundle: Any, progress: Any, status: int) -> None:
    rig.front.meet(Fault(status=status))
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert 0 == rig.again().deliver(bundle().delivery(), progress).details["repeats"]


def test_what_was_accepted_is_not_sent_again(rig: WebhookRig, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    rig.front.forget()
    assert rig.again().deliver(bundle().delivery(), progress).found
    assert [] == rig.front.seen


def test_check_asks_with_options_and_says_what_it_heard(rig: WebhookRig) -> None:
    assert "(204 to OPTIONS" in rig.sink.check()
    assert ["OPTIONS"] == [method for method, _ in rig.front.seen]


def test_an_address_that_is_gone_is_found_by_check(rig: WebhookRig) -> None:
    rig.front.meet(Fault(status=410))
    with pytest.raises(Permanent, match="410"):
        rig.sink.check()


# --- bodies in pieces ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 65_535, 65_536, 65_537])
def test_base64_in_pieces_is_base64(size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    made = in_base64(joined(content))
    with made.open() as stream:
        text = stream.read()
    assert made.size == len(text)
    assert content == b64decode(text, validate=True)


def test_a_body_can_be_opened_again() -> None:
    body = joined(b"one ", joined(b"two"), b"")
    assert [b"one two", b"one two"] == [body.open().read() for _ in range(2)]


def test_a_name_cannot_end_its_header() -> None:
    body = form("b", [Entry(name="file", content=b"x", filename='a"\r\nX: y.pdf')])
    assert b'filename="a%22%0D%0AX: y.pdf"\r\n\r\nx\r\n--b--\r\n' in body.open().read()


class Zeros(BytesIO):
    """Many bytes that are held nowhere."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def read(self, size: int | None = -1) -> bytes:
        taken = min(size or 0, self._left)
        self._left -= taken
        return bytes(taken)


def test_a_large_body_is_never_held_whole() -> None:
    size = 16 * 1024 * 1024
    body = form("b", [Entry(name="file", content=in_base64(Upload(open=lambda: Zeros(size), size=size)))])
    tracemalloc.start()
    signature([b"key"], "dlv_01", "1", body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size / 4 > peak


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"url": Secret(secret("no-address"))},
        {"url": Secret("ftp://h.example/" + secret("path"))},
        {"url": Secret("https://h.example:port/" + secret("path"))},
        {"url": Secret("https://münchen.example/" + secret("path"))},
        {"url": Secret(f"https://user:{secret('word')}@h.example/")},
        {"url": Secret("https://h.example/#" + secret("path"))},
        {"secrets": ()},
        {"secrets": (Secret(secret("not base64!")),)},
        {"secrets": (Secret(WHSEC), Secret("whsec_"))},
        {"headers": {"Webhook-Id": Secret("x")}},
        {"headers": {"Content-Length": Secret("1")}},
        {"headers": {"X Y": Secret("x")}},
        {"headers": {"Authorization": Secret(SECRETS[0] + "\r\nX: y")}},
        {"headers": {"Authorization": Secret(SECRETS[0] + "ü")}},
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_secret(changes: dict[str, Any]) -> None:
    common = {"url": URL, "secrets": (Secret(WHSEC),)}
    with pytest.raises(ValueError, match=r"\w") as caught:
        WebhookSettings(**{**common, **changes})
    assert secret("")[:6] not in str(caught.value)

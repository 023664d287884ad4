"""What every sink promises, whatever stands behind it."""

import json
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.kinds import sink_kind
from webhook_svc.core.errors import ArtifactLost, ClaimLost, Conflict, Permanent, Retryable
from webhook_svc.core.settings import fields_of

from .every import ALL, every_carrier, every_create_only_sink, every_sink, every_store

LARGE = bytes(range(256)) * 4096 * 3  # 3 MiB: several chunks on every way


def lose_the_claim() -> None:
    raise ClaimLost


@pytest.mark.parametrize("name", ALL)
def test_a_sink_explains_itself_and_every_setting(name: str) -> None:
    sink = sink_kind(name)
    assert sink.proof
    assert all(word in sink.guide for word in ("**Permissions:**", "**Retry:**", "**Limits:**"))
    assert [] == [field for field, _, _, doc in fields_of(sink.Settings) if not doc.endswith(".")]


@every_sink
def test_what_is_delivered_stands_there_byte_for_byte(rig: Any, bundle: Any, progress: Any) -> None:
    sent = bundle(files={"a/one.pdf": LARGE, "a/two.pdf": b"%PDF-1.7 two"})
    receipt = rig.sink.deliver(sent.delivery(), progress)
    assert rig.expected(sent) == rig.visible()
    assert not receipt.found


@every_carrier
def test_an_empty_file_arrives_as_an_empty_file_or_is_given_up(rig: Any, bundle: Any, progress: Any) -> None:
    sent = bundle(files={"a/empty.pdf": b""})
    if rig.takes_empty_files:
        rig.sink.deliver(sent.delivery(), progress)
        assert rig.expected(sent) == rig.visible()
    else:
        with pytest.raises(Permanent):
            rig.sink.deliver(sent.delivery(), progress)
        assert {} == rig.visible()


@every_sink
def test_delivering_twice_leaves_one_effect(rig: Any, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    second = rig.again().deliver(bundle().delivery(), progress)
    assert second.found
    assert rig.expected(bundle()) == rig.visible()


@every_sink
def test_both_receipts_of_a_repeat_say_the_same(rig: Any, bundle: Any, progress: Any) -> None:
    first = rig.sink.deliver(bundle().delivery(), progress)
    second = rig.again().deliver(bundle().delivery(), progress)
    assert (first.location, first.proof, first.details) == (second.location, second.proof, second.details)


@every_create_only_sink
def test_two_workers_at_once_leave_one_effect(rig: Any, bundle: Any, progress: Any) -> None:
    """A server may stumble over two at once (WsgiDAV answers a folder that appears meanwhile with 500): whoever is told
    to come back does."""

    def deliver(sink: Any) -> None:
        with suppress(Retryable):
            sink.deliver(bundle().delivery(), progress)
            return
        sink.deliver(bundle().delivery(), progress)

    with ThreadPoolExecutor(2) as pool:
        tries = [pool.submit(deliver, sink) for sink in (rig.sink, rig.again())]
    assert [None, None] == [one.exception() for one in tries]
    assert rig.expected(bundle()) == rig.visible()


@every_carrier
@pytest.mark.parametrize("after", [0, 1_500_000, len(LARGE)], ids=["at once", "midway", "at the end"])
def test_half_a_file_is_never_visible(rig: Any, bundle: Any, progress: Any, after: int) -> None:
    sent = bundle(files={"a/deed.pdf": LARGE}, lost={"deed.pdf": after})
    with pytest.raises(ArtifactLost):
        rig.sink.deliver(sent.delivery(), progress)
    assert {} == rig.visible()


@every_carrier
def test_a_delivery_that_broke_off_is_completed_by_the_next_try(rig: Any, bundle: Any, progress: Any) -> None:
    files = {"a/one.pdf": b"%PDF-1.7 one", "a/two.pdf": b"%PDF-1.7 two"}
    with pytest.raises(ArtifactLost):
        rig.sink.deliver(bundle(files=files, lost={"two.pdf": 5}).delivery(), progress)
    receipt = rig.again().deliver(bundle(files=files).delivery(), progress)
    assert rig.expected(bundle(files=files)) == rig.visible()
    assert not receipt.found


@every_sink
def test_who_lost_the_claim_leaves_nothing(rig: Any, bundle: Any, progress: Any) -> None:
    with pytest.raises(ClaimLost):
        rig.sink.deliver(bundle(still_ours=lose_the_claim).delivery(), progress)
    assert {} == rig.visible()


@every_create_only_sink
@pytest.mark.parametrize("other", [b"", b"%PDF-1.7 deed %%EOG", b"longer than what comes now"])
def test_other_bytes_at_the_target_are_a_conflict_and_stay(rig: Any, bundle: Any, progress: Any, other: bytes) -> None:
    path = "contracts/doc-1/deed.pdf"
    rig.plant(path, other)
    before = rig.visible()
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle().delivery(), progress)
    assert [other] == list(before.values())
    assert before == rig.visible()


@every_create_only_sink
def test_the_same_bytes_at_the_target_are_found(rig: Any, bundle: Any, progress: Any) -> None:
    for path, content in rig.expected(bundle()).items():
        if path.endswith(".pdf"):
            rig.plant(path, content)
    rig.sink.deliver(bundle().delivery(), progress)
    assert rig.expected(bundle()) == rig.visible()


@every_store
def test_the_manifest_comes_last(rig: Any, bundle: Any, progress: Any) -> None:
    files = {"a/one.pdf": b"%PDF-1.7 one", "a/two.pdf": b"%PDF-1.7 two"}
    with pytest.raises(ArtifactLost):
        rig.sink.deliver(bundle(files=files, lost={"two.pdf": 5}).delivery(), progress)
    assert set(rig.visible()) <= {"a/one.pdf"}


@every_sink
@pytest.mark.parametrize(
    "name",
    [
        "계약서 최종본 (서명완료).pdf",
        "🖋️ Vertrag „signé“ à.pdf",
        "가" * 58 + ".pdf",
        "a" * 176 + ".pdf",
        "100% & #1 + 'x' = ;~!@$^[]{}`,.pdf",
        "trailing dots... and  two spaces.pdf",
        "%2e%2e%2f.pdf",
    ],
)
def test_names_of_every_script_survive(rig: Any, bundle: Any, progress: Any, name: str) -> None:
    sent = bundle(files={f"2026/{name}/{name}": b"%PDF-1.7"})
    rig.sink.deliver(sent.delivery(), progress)
    assert rig.expected(sent) == rig.visible()
    assert rig.again().deliver(sent.delivery(), progress).found


@every_sink
def test_check_speaks_and_leaves_nothing_behind(rig: Any) -> None:
    assert len(rig.sink.check()) > 20
    assert {} == rig.visible()


@every_sink
def test_a_place_that_cannot_be_used_is_found_by_check_and_by_delivery(rig: Any, bundle: Any, progress: Any) -> None:
    with pytest.raises((Retryable, Permanent)):
        rig.broken.check()
    with pytest.raises((Retryable, Permanent)):
        rig.broken.deliver(bundle().delivery(), progress)
    assert {} == rig.visible()


@every_sink
def test_a_receipt_is_json_and_small(rig: Any, bundle: Any, progress: Any) -> None:
    receipt = rig.sink.deliver(bundle().delivery(), progress)
    assert len(json.dumps([receipt.location, receipt.proof, dict(receipt.details)])) < 2000
    assert {str, int, float, list} >= {type(value) for value in receipt.details.values()}


@every_sink
def test_nothing_secret_is_said(rig: Any, bundle: Any, progress: Any, secrets: tuple[str, ...]) -> None:
    said = [repr(rig.sink.settings), rig.sink.check(), repr(rig.sink.deliver(bundle().delivery(), progress))]
    for act in (rig.broken.check, lambda: rig.broken.deliver(bundle().delivery(), type(progress)())):
        with pytest.raises((Retryable, Permanent)) as caught:
            act()
        said.append("".join(traceback.format_exception(caught.value)))
    assert [] == [secret for secret in secrets if secret in "".join(said) or secret in progress.text]

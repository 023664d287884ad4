"""What the paperless sink makes of tasks, duplicates and names, against a strict stand-in."""

import hashlib
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Conflict, NotReady, Permanent, Retryable, Unlikely, WebhookError
from webhook_svc.core.settings import Secret, Url
from webhook_svc.sinks.paperless import PaperlessSettings, _Memory

from .rigs.front import Fault
from .rigs.paperless import PaperlessRig

DEED = b"%PDF-1.7 deed %%EOF"
SOON = 60.0


@pytest.fixture
def rig(servers: Any, tmp_path: Any, start: Any) -> PaperlessRig:
    return PaperlessRig(servers, tmp_path, start)


def deliver(rig: PaperlessRig, bundle: Any, progress: Any, *, later: float = 0, **changes: Any) -> Any:
    """A try in a process of its own, whose clock is that much ahead."""
    sink: Any = rig.make(**changes)
    clock = sink._clock
    sink._clock = lambda: clock() + later
    return sink.deliver(bundle.delivery(), progress)


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_document_comes_with_all_that_the_settings_name(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    deliver(
        rig,
        bundle(),
        progress,
        title="{title} von {source}: {filename} ({part})",
        correspondent="acme ltd",
        document_type="Contract",
        storage_path="6",
        tags=["Signed", "8"],
        custom_fields={"delivery": "{delivery} {{x}}"},
    )
    (document,) = rig.archive.documents
    assert {
        "title": "Lease von contracts: deed.pdf (document)",
        "created": "2026-09-21",
        "correspondent": 3,
        "document_type": 5,
        "storage_path": 6,
        "tags": [7, 8],
        "custom_fields": {10: "dlv_01 {x}"},
    } == document.fields


def test_a_title_is_one_line_of_127_characters(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    deliver(rig, bundle(title="a\r\nb" + "c" * 200), progress)
    assert "a b" + "c" * 123 + "…" == rig.archive.documents[0].fields["title"]


@pytest.mark.parametrize(("name", "known"), [("Nobody", 0), ("Twice", 2)])
def test_a_name_that_is_not_one_is_found_by_check_and_sends_nothing(
    rig: PaperlessRig, bundle: Any, progress: Any, name: str, known: int
) -> None:
    with pytest.raises(Permanent, match=f"tags: paperless knows {known} that are called '{name}'"):
        rig.make(tags=[name]).check()
    with pytest.raises(Permanent, match="tags"):
        deliver(rig, bundle(), progress, tags=[name])
    assert {} == rig.visible()


def test_names_are_looked_up_once(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    sink = rig.make(correspondent="Beta")
    assert "paperless-ngx 3.0.5 takes our token and knows the 1 names" in sink.check()
    rig.front.forget()
    sink.deliver(bundle().delivery(), progress)
    assert [] == [target for _, target in rig.front.seen if "correspondents" in target]


def test_it_looks_then_sends_then_asks_for_the_task_and_compares(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    rig.front.forget()
    receipt = deliver(rig, bundle(), progress)
    asked = [f"{method} {target.partition('?')[0]}" for method, target in rig.front.seen]
    expected = ["GET /api/documents/", "POST /api/documents/post_document/", "GET /api/tasks/"]
    assert [*expected, "GET /api/documents/11/metadata/"] == asked
    assert ("checksum of the stored original", [11]) == (receipt.proof, receipt.details["documents"])
    assert receipt.location.endswith("/documents/11")


def test_a_type_that_paperless_does_not_take_is_given_up_with_the_name_of_the_field(
    rig: PaperlessRig, bundle: Any, progress: Any
) -> None:
    with pytest.raises(Permanent, match=r"^posting: the answer was 400 document$"):
        deliver(rig, bundle(files={"a/audit.json": b"{}"}), progress)


# --- tasks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api_version", [9, 10])
def test_while_paperless_works_the_delivery_waits_and_sends_nothing_twice(
    rig: PaperlessRig, bundle: Any, progress: Any, api_version: int
) -> None:
    rig.archive.looks = 2
    for _ in range(2):
        with pytest.raises(NotReady):
            deliver(rig, bundle(), progress, api_version=api_version)
    receipt = deliver(rig, bundle(), progress, api_version=api_version)
    assert {"deed.pdf": DEED} == rig.visible()
    assert (False, 0) == (receipt.found, receipt.details["repeats"])
    assert 1 == len(rig.archive.tasks)


@pytest.mark.parametrize("api_version", [9, 10])
def test_a_document_that_cannot_be_taken_in_is_sent_anew(
    rig: PaperlessRig, bundle: Any, progress: Any, api_version: int
) -> None:
    rig.archive.fails = 1
    sent = bundle(files={"a/a duplicate.pdf": DEED})
    with pytest.raises(Unlikely, match="its log says why") as caught:
        deliver(rig, sent, progress, api_version=api_version)
    assert secret("said-by-the-service") not in str(caught.value)
    deliver(rig, sent, progress, api_version=api_version)
    assert {"a duplicate.pdf": DEED} == rig.visible()


def test_a_task_that_paperless_forgot_is_begun_anew(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    rig.archive.looks = 1
    with pytest.raises(NotReady):
        deliver(rig, bundle(), progress)
    rig.archive.tasks.clear()
    with pytest.raises(Unlikely, match="lost the task"):
        deliver(rig, bundle(), progress)
    rig.archive.looks = 0
    deliver(rig, bundle(), progress)
    assert {"deed.pdf": DEED} == rig.visible()


def test_each_file_has_a_task_of_its_own_and_all_are_waited_for_together(
    rig: PaperlessRig, bundle: Any, progress: Any
) -> None:
    sent = bundle(files={"a/one.pdf": b"%PDF-1.7 one", "a/two.pdf": b"%PDF-1.7 two"})
    rig.archive.looks = 1
    with pytest.raises(NotReady):
        deliver(rig, sent, progress)
    assert 2 == len(rig.archive.tasks)
    receipt = deliver(rig, sent, progress)
    assert [11, 12] == receipt.details["documents"]
    assert 2 == len(rig.archive.tasks)


@pytest.mark.parametrize(("looks", "ends"), [(0, True), (1, False), (1, True)])
def test_of_many_files_few_are_sent_and_remembered_at_once(
    rig: PaperlessRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch, looks: int, ends: bool
) -> None:
    """Whether they are taken in at once, when they are asked for, or between two tries."""
    monkeypatch.setattr(_Memory, "at_once", 2)
    sent = bundle(files={f"a/{number}.pdf": b"%%PDF-1.7 %d" % number for number in range(8)})
    rig.archive.looks = looks
    for _ in range(4 * looks):
        with pytest.raises(NotReady):
            deliver(rig, sent, progress)
        assert 4 >= len(progress.load()["tasks"])
        if ends:
            rig.archive.finish()
    assert 8 == len(deliver(rig, sent, progress).details["documents"])
    assert 8 == len(rig.archive.tasks)
    assert 4 >= len(progress.load()["tasks"])
    assert set(rig.expected(sent)) == set(rig.visible())


def test_a_hundred_tasks_fit_into_the_memory_of_a_delivery(progress: Any) -> None:
    """Fifty that paperless works on, and fifty that ended well."""
    memory = _Memory(progress)
    memory.tasks = {f"{number:016}": str(uuid4()) for number in range(100)}
    memory.unsure = {f"{number:016}": 1_790_000_000.123456 for number in range(10)}
    memory.keep()


def test_of_what_was_read_back_nothing_stays_in_doubt(progress: Any) -> None:
    memory = _Memory(progress)
    memory.unsure = {"one": 1.0, "two": 2.0}
    memory.read_back("one")
    assert {"two": 2.0} == memory.unsure


# --- duplicates and conflicts -------------------------------------------------------------------------------------


def test_bytes_that_stand_there_already_are_found(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    rig.archive.add("by-hand.pdf", DEED)
    receipt = deliver(rig, bundle(), progress)
    assert receipt.found
    assert {"by-hand.pdf": DEED} == rig.visible()


def test_a_server_that_does_not_know_the_filter_does_not_fool_us(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    rig.archive.add("another.pdf", b"%PDF-1.7 another")
    rig.archive.knows_checksums = False
    assert not deliver(rig, bundle(), progress).found
    assert {"another.pdf", "deed.pdf"} == set(rig.visible())


@pytest.mark.parametrize("api_version", [9, 10])
def test_who_is_slower_than_somebody_else_finds_the_document(
    rig: PaperlessRig, bundle: Any, progress: Any, api_version: int
) -> None:
    rig.archive.refuses_duplicates = True
    sent = bundle(still_ours=lambda: rig.archive.add("by-hand.pdf", DEED))
    assert deliver(rig, sent, progress, api_version=api_version).found
    assert {"by-hand.pdf": DEED} == rig.visible()


@pytest.mark.parametrize("version", ["2.20.1", "3.0.5"])
@pytest.mark.parametrize("where", ["in_trash", "hidden"])
def test_a_duplicate_that_our_user_cannot_see_is_held(
    rig: PaperlessRig, bundle: Any, progress: Any, where: str, version: str
) -> None:
    rig.archive.version, rig.archive.refuses_duplicates = version, True
    rig.archive.add("old.pdf", DEED, **{where: True})
    with pytest.raises(Conflict, match="duplicate of a document that our user cannot see"):
        deliver(rig, bundle(), progress)
    assert {"old.pdf": DEED} == rig.visible()


@pytest.mark.parametrize("why", ["script", "splits"])
def test_other_bytes_than_were_sent_are_held_and_not_sent_again(
    rig: PaperlessRig, bundle: Any, progress: Any, why: str
) -> None:
    setattr(rig.archive, why, True)
    for _ in range(2):
        with pytest.raises(Conflict, match="keeps other bytes"):
            deliver(rig, bundle(), progress)
    assert 1 == len(rig.archive.tasks)


def test_where_we_may_not_look_the_word_of_the_task_is_the_proof(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    rig.archive.hides = True
    receipt = deliver(rig, bundle(), progress)
    assert "paperless says so, and does not let us look" == receipt.proof
    assert [11] == deliver(rig, bundle(), progress).details["documents"]
    assert {"deed.pdf": DEED} == rig.visible()


def test_version_2_is_asked_by_md5(rig: PaperlessRig, bundle: Any, progress: Any) -> None:
    rig.archive.version = "2.20.1"
    assert not deliver(rig, bundle(), progress).found
    rig.front.forget()
    assert deliver(rig, bundle(), progress).found
    wanted = hashlib.md5(DEED, usedforsecurity=False).hexdigest()
    assert any(f"checksum__iexact={wanted}" in target for _, target in rig.front.seen)


# --- trouble on the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("looks", [0, 1])
@pytest.mark.parametrize(
    "fault",
    [Fault(), Fault(passes=True), Fault(status=500, passes=True)],
    ids=["broken off", "answer lost", "500 though done"],
)
@pytest.mark.parametrize("number", range(4))
def test_trouble_at_any_request_leaves_one_document(
    rig: PaperlessRig, bundle: Any, progress: Any, fault: Fault, number: int, looks: int
) -> None:
    rig.archive.looks = looks
    rig.front.meet(fault, at=number)
    for later in (0, 400, 800):
        with suppress(Retryable, NotReady):
            deliver(rig, bundle(), progress, later=later)
        rig.front.forget()
        rig.archive.finish()
    assert deliver(rig, bundle(), progress).found
    assert {"deed.pdf": DEED} == rig.visible()


def test_an_upload_whose_answer_was_lost_is_waited_for_before_the_next(
    rig: PaperlessRig, bundle: Any, progress: Any
) -> None:
    rig.front.meet(Fault(), at=1)
    with pytest.raises(Retryable):
        deliver(rig, bundle(), progress)
    rig.front.forget()
    with pytest.raises(NotReady) as caught:
        deliver(rig, bundle(), progress, later=10)
    assert SOON == caught.value.after
    receipt = deliver(rig, bundle(), progress, later=400)
    assert {"deed.pdf": DEED} == rig.visible()
    assert (False, 1) == (receipt.found, receipt.details["repeats"])


@pytest.mark.parametrize("status", [400, 401, 403, 429])
def test_after_a_clear_no_nothing_is_waited_for(rig: PaperlessRig, bundle: Any, progress: Any, status: int) -> None:
    rig.front.meet(Fault(status=status), at=1)
    with pytest.raises((Retryable, Permanent)):
        deliver(rig, bundle(), progress)
    rig.front.forget()
    assert 0 == deliver(rig, bundle(), progress).details["repeats"]


@pytest.mark.parametrize(
    ("number", "fault", "fate"),
    [
        (0, Fault(status=200, body=b"<html>"), Retryable),
        (0, Fault(status=200, body=b'{"detail": 1}'), Retryable),
        (0, Fault(status=406), Permanent),
        (1, Fault(status=200, body=b'{"task_id": 1}'), Retryable),
        (1, Fault(status=200, body=b'"../../x"'), Retryable),
        (1, Fault(status=413), Permanent),
        (1, Fault(status=415), Permanent),
        (2, Fault(status=403), Retryable),
        (3, Fault(status=500), Retryable),
    ],
)
def test_the_answer_decides_the_fate(
    rig: PaperlessRig, bundle: Any, progress: Any, number: int, fault: Fault, fate: type[WebhookError]
) -> None:
    rig.front.meet(fault, at=number)
    with pytest.raises(WebhookError) as caught:
        deliver(rig, bundle(), progress)
    assert fate is type(caught.value)
    assert "hunter2" not in str(caught.value)


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"url": Url("https://user:word@papers.example")},
        {"url": Url("https://papers.example/?x=1")},
        {"title": "{titel}"},
        {"title": "{"},
        {"custom_fields": {"Delivery": "{token}"}},
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    common = {"url": Url("https://papers.example"), "token": Secret(secret("token"))}
    with pytest.raises(ValueError, match=r"\w"):
        PaperlessSettings(**{**common, **changes})

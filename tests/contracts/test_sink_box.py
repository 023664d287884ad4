"""What is special about Box: folders by their ids, names in use, sessions in parts that are put together at the end."""

import json
from typing import Any

import pytest

from webhook_svc.core.errors import ArtifactLost, Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.box import Box, BoxSettings

from .rigs.front import Fault
from .rigs.session import PIECE

on_box = pytest.mark.parametrize("rig", ["box"], indirect=True)
in_parts = pytest.mark.usefixtures("small_parts")

PATH = "contracts/doc-1/deed.pdf"
LARGE = bytes(range(251)) * 400


@pytest.fixture
def small_parts(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.small_pieces(monkeypatch)


def says(code: str, status: int, **headers: str) -> Fault:
    body = {"type": "error", "status": status, "code": code, "message": "hunter2"}
    return Fault(status=status, headers=headers, body=json.dumps(body).encode())


def no_session(rig: Any) -> bool:
    return len(rig.api.state.sessions) == 0


# --- large files --------------------------------------------------------------------------------------------------


@on_box
@in_parts
@pytest.mark.parametrize("size", [1001, PIECE, 2 * PIECE, len(LARGE)])
def test_a_large_file_goes_in_parts(rig: Any, bundle: Any, progress: Any, size: int) -> None:
    sent = bundle(files={PATH: LARGE[:size]})
    receipt = rig.sink.deliver(sent.delivery(), progress)
    assert rig.expected(sent) == rig.visible()
    assert -(-size // PIECE) == len([method for method, _ in rig.front.seen if method == "PUT"])
    assert "SHA-1 of the stored file" == receipt.proof


@on_box
@in_parts
@pytest.mark.parametrize("fault", [says("unavailable", 503), says("bad_request", 400)], ids=["503", "400"])
def test_a_session_is_aborted_where_a_part_is_refused(rig: Any, bundle: Any, progress: Any, fault: Fault) -> None:
    rig.sink.check()
    rig.front.meet(fault, at=4)  # after the folders and the session's beginning
    with pytest.raises((Retryable, Permanent), match="sending a part"):
        rig.sink.deliver(bundle(files={PATH: LARGE}).delivery(), progress)
    assert ({}, True, 1) == (rig.visible(), no_session(rig), rig.api.state.aborted)


@on_box
def test_a_damaged_copy_is_found_before_a_byte_of_it_is_sent(rig: Any, bundle: Any, progress: Any) -> None:
    with pytest.raises(ArtifactLost):
        rig.sink.deliver(bundle(lost={"deed.pdf": 5}).delivery(), progress)
    assert [] == [target for _, target in rig.front.seen if "/files" in target]


@on_box
@in_parts
def test_parts_that_are_not_ready_are_put_together_by_the_next_try(rig: Any, bundle: Any, progress: Any) -> None:
    rig.api.state.unready = 1
    with pytest.raises(Retryable, match="not put together") as caught:
        rig.sink.deliver(bundle(files={PATH: LARGE}).delivery(), progress)
    assert 17 == caught.value.after
    rig.front.forget()
    rig.again().deliver(bundle(files={PATH: LARGE}).delivery(), progress)
    assert [] == [method for method, _ in rig.front.seen if method == "PUT"]
    assert rig.expected(bundle(files={PATH: LARGE})) == rig.visible()


@on_box
@in_parts
def test_parts_that_are_gone_meanwhile_are_sent_again(rig: Any, bundle: Any, progress: Any) -> None:
    rig.api.state.unready = 1
    with pytest.raises(Retryable):
        rig.sink.deliver(bundle(files={PATH: LARGE}).delivery(), progress)
    rig.api.state.sessions.clear()
    rig.again().deliver(bundle(files={PATH: LARGE}).delivery(), progress)
    assert rig.expected(bundle(files={PATH: LARGE})) == rig.visible()


@on_box
@in_parts
@pytest.mark.parametrize("size", [0, 1 << 40])
def test_a_size_of_parts_that_we_cannot_hold_is_refused(rig: Any, bundle: Any, progress: Any, size: int) -> None:
    rig.api.state.part_size = size
    with pytest.raises(Retryable, match="size of parts"):
        rig.sink.deliver(bundle(files={PATH: LARGE}).delivery(), progress)


def test_files_are_divided_where_box_takes_both_ways() -> None:
    assert 20 * 10**6 <= Box.at_once <= 50 * 10**6


# --- what is answered ---------------------------------------------------------------------------------------------


@on_box
@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (says("bad_digest", 400), Retryable, "400 bad_digest"),
        (says("item_name_invalid", 400), Permanent, "400 item_name_invalid"),
        (says("item_name_too_long", 400), Permanent, "item_name_too_long"),
        (says("access_denied_insufficient_permissions", 403), Retryable, "403 access_denied"),
        (says("storage_limit_exceeded", 403), Retryable, "storage_limit_exceeded"),
        (says("file_size_limit_exceeded", 403), Permanent, "file_size_limit_exceeded"),
        (says("not_found", 404), Permanent, "404 not_found"),
        (says("name_temporarily_reserved", 409), Retryable, "409 name_temporarily_reserved"),
        (says("operation_blocked_temporary", 409), Retryable, "operation_blocked_temporary"),
        (says("request_entity_too_large", 413), Permanent, "413"),
        (says("rate_limit_exceeded", 429, **{"Retry-After": "17"}), Retryable, "rate limit"),
        (says("unavailable", 503, **{"Retry-After": "17"}), Retryable, "503 unavailable"),
    ],
    ids=lambda value: f"{value.status} {json.loads(value.body)['code']}" if isinstance(value, Fault) else None,
)
def test_the_answer_to_an_upload_decides_the_fate(
    rig: Any, bundle: Any, progress: Any, fault: Fault, fate: type[WebhookError], said: str
) -> None:
    rig.sink.check()
    rig.front.meet(fault, at=2)  # after the two folders
    with pytest.raises(fate, match=said) as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert (17 if "Retry-After" in fault.headers else None) == getattr(caught.value, "after", None)
    assert "hunter2" not in str(caught.value)
    assert {} == rig.visible()


@on_box
def test_bytes_that_changed_on_their_way_in_are_no_receipt(rig: Any, bundle: Any, progress: Any) -> None:
    rig.api.state.damages = True
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle().delivery(), progress)


@on_box
@pytest.mark.parametrize("there", ["contracts", f"{PATH}/page.pdf"], ids=["a file for a folder", "a folder for a file"])
def test_what_stands_in_the_way_is_a_conflict(rig: Any, bundle: Any, progress: Any, there: str) -> None:
    rig.plant(there, b"theirs")
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle().delivery(), progress)
    assert {there: b"theirs"} == rig.visible()


@on_box
def test_check_finds_that_we_may_only_read(rig: Any) -> None:
    rig.api.state.writable = False
    with pytest.raises(Retryable, match="may not add files"):
        rig.sink.check()


@on_box
def test_a_folder_that_is_not_there_is_given_up(rig: Any, bundle: Any, progress: Any) -> None:
    with pytest.raises(Permanent, match="404 not_found"):
        rig.make(folder_id="4711").check()
    with pytest.raises(Permanent, match="making a folder"):
        rig.make(folder_id="4711").deliver(bundle().delivery(), progress)


# --- names and places ---------------------------------------------------------------------------------------------


@on_box
@pytest.mark.parametrize(
    ("path", "stored"),
    [
        (" a /b  /deed.pdf ", "a/b/deed.pdf"),
        ("a\\<>:|?*b.pdf", "a_______b.pdf"),
        ("a\x7fb\tc.pdf", "a_b_c.pdf"),
        ("../x.pdf", "_../x.pdf"),
        ("./x.pdf", "_./x.pdf"),
        (" ", "_"),
        ("CON/~$deed.pdf.", "CON/~$deed.pdf."),
    ],
)
def test_names_that_the_service_refuses_become_others(
    rig: Any, bundle: Any, progress: Any, path: str, stored: str
) -> None:
    rig.sink.deliver(bundle(files={path: b"%PDF"}).delivery(), progress)
    assert b"%PDF" == rig.visible()[stored]


@on_box
def test_files_may_be_written_as_a_user(rig: Any, bundle: Any, progress: Any) -> None:
    rig.make(user="678").deliver(bundle().delivery(), progress)
    assert rig.expected(bundle()) == rig.visible()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, "one of enterprise and user"),
        ({"enterprise": "1", "user": "2"}, "one of enterprise and user"),
        ({"enterprise": "1", "folder_id": "../2"}, "a number as folder_id"),
    ],
)
def test_a_place_is_named_once(place: dict[str, str], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        BoxSettings(client_id="c", client_secret=Secret("s"), **place)  # type: ignore[arg-type]

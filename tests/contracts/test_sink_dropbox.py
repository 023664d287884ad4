"""What is special about Dropbox: its hash, its header of JSON, sessions, names, and errors that are all a 409."""

import json
from typing import Any

import pytest

from webhook_svc.core.errors import ArtifactLost, Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.dropbox import ContentHash, Dropbox, DropboxSettings

from .rigs.dropbox import content_hash
from .rigs.front import Fault
from .rigs.session import PIECE

on_dropbox = pytest.mark.parametrize("rig", ["dropbox"], indirect=True)
in_pieces = pytest.mark.usefixtures("small_pieces")

MIB = 1024**2
PATH = "contracts/doc-1/deed.pdf"
LARGE = bytes(range(251)) * 400


@pytest.fixture
def small_pieces(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.small_pieces(monkeypatch)


def says(tags: str, status: int = 409, **headers: str) -> Fault:
    return Fault(status=status, headers=headers, body=json.dumps({"error_summary": f"{tags}/..", "error": {}}).encode())


@pytest.mark.parametrize("size", [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB])
def test_the_hash_is_that_of_blocks_however_the_bytes_come(size: int) -> None:
    content = (b"0123456789abcdef" * (MIB // 16) * 9)[:size]
    ours = ContentHash()
    for start in range(0, size, 3 * MIB + 7):
        ours.update(content[start : start + 3 * MIB + 7])
    assert content_hash(content) == ours.hexdigest()


# --- large files --------------------------------------------------------------------------------------------------


@on_dropbox
@in_pieces
@pytest.mark.parametrize("size", [1001, 2 * PIECE, len(LARGE)], ids=["one piece", "even", "odd"])
def test_a_large_file_goes_in_a_session(rig: Any, bundle: Any, progress: Any, size: int) -> None:
    sent = bundle(files={PATH: LARGE[:size]})
    receipt = rig.sink.deliver(sent.delivery(), progress)
    assert rig.expected(sent) == rig.visible()
    assert "content_hash of the stored file" == receipt.proof
    steps = [target.rpartition("/")[2] for _, target in rig.front.seen if "upload_session" in target]
    assert ["start", *["append_v2"] * ((size - 1) // PIECE), "finish"] == steps


@on_dropbox
def test_a_damaged_copy_is_found_before_anything_is_sent(rig: Any, bundle: Any, progress: Any) -> None:
    with pytest.raises(ArtifactLost):
        rig.sink.deliver(bundle(lost={"deed.pdf": 5}).delivery(), progress)
    assert [] == rig.front.seen


def test_pieces_are_no_larger_than_dropbox_takes_them() -> None:
    assert max(Dropbox.piece, Dropbox.at_once) <= 150 * MIB


# --- what is answered ---------------------------------------------------------------------------------------------


@on_dropbox
@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (says("path/insufficient_space"), Retryable, "409 path/insufficient_space"),
        (says("path/no_write_permission"), Retryable, "no_write_permission"),
        (says("path/too_many_write_operations"), Retryable, "too_many_write_operations"),
        (says("content_hash_mismatch"), Retryable, "content_hash_mismatch"),
        (says("other"), Retryable, "409 other"),
        (says("path/disallowed_name"), Permanent, "disallowed_name"),
        (says("path/malformed_path"), Permanent, "malformed_path"),
        (says("path/operation_suppressed"), Permanent, "operation_suppressed"),
        (says("encryption_not_supported"), Permanent, "encryption_not_supported"),
        (Fault(status=409, body=b"<html>hunter2"), Retryable, "not JSON"),
        (Fault(status=409, body=b'{"error_summary":"hunter2 is not allowed"}'), Retryable, "409"),
        (Fault(status=400, body=b"Error in call: hunter2"), Permanent, "400"),
        (says("missing_scope", 401), Retryable, "401, our credentials"),
        (says("too_many_requests", 429, **{"Retry-After": "300"}), Retryable, "rate limit"),
        (Fault(status=503, headers={"Retry-After": "300"}), Retryable, "503"),
    ],
    ids=lambda value: f"{value.status} {value.body.decode()[:44]}" if isinstance(value, Fault) else None,
)
def test_the_answer_to_an_upload_decides_the_fate(
    rig: Any, bundle: Any, progress: Any, fault: Fault, fate: type[WebhookError], said: str
) -> None:
    rig.front.meet(fault)
    with pytest.raises(fate, match=said) as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert (300 if "Retry-After" in fault.headers else None) == getattr(caught.value, "after", None)
    assert "hunter2" not in str(caught.value)
    assert {} == rig.visible()


@on_dropbox
def test_bytes_that_changed_on_their_way_in_are_no_receipt(rig: Any, bundle: Any, progress: Any) -> None:
    rig.api.box.damages = True
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle().delivery(), progress)


@on_dropbox
@pytest.mark.parametrize("there", ["contracts", f"{PATH}/page.pdf"], ids=["a file for a folder", "a folder for a file"])
def test_what_stands_in_the_way_is_a_conflict(rig: Any, bundle: Any, progress: Any, there: str) -> None:
    rig.plant(there, b"theirs")
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle().delivery(), progress)
    assert {there: b"theirs"} == rig.visible()


# --- names and places ---------------------------------------------------------------------------------------------


@on_dropbox
@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("a /b  /deed.pdf ", "a/b/deed.pdf"),
        ("a\\b.pdf", "a_b.pdf"),
        ("a\x7fb\tc.pdf", "a_b_c.pdf"),
        ("x/Desktop.ini", "x/_Desktop.ini"),
        ("Thumbs.db", "_Thumbs.db"),
        ("~$deed.docx", "_~$deed.docx"),
        (".dropbox.cache/x.pdf", "_.dropbox.cache/x.pdf"),
        ("../x.pdf", "_../x.pdf"),
        (" ", "_"),
    ],
)
def test_names_that_the_service_refuses_become_others(
    rig: Any, bundle: Any, progress: Any, path: str, stored: str
) -> None:
    rig.sink.deliver(bundle(files={path: b"%PDF"}).delivery(), progress)
    assert b"%PDF" == rig.visible()[stored]


@on_dropbox
def test_a_name_of_more_than_255_characters_is_given_up(rig: Any, bundle: Any, progress: Any) -> None:
    with pytest.raises(Permanent, match="malformed_path"):
        rig.sink.deliver(bundle(files={"a" * 256: b"%PDF"}).delivery(), progress)


@on_dropbox
def test_folder_and_namespace_stand_before_every_name(rig: Any, bundle: Any, progress: Any) -> None:
    sink = rig.make(folder="/Signed/all/", namespace="123")
    assert "takes our credentials" in sink.check()
    receipt = sink.deliver(bundle().delivery(), progress)
    assert {f"Signed/all/{path}" for path in rig.expected(bundle())} == set(rig.visible())
    assert receipt.location == f"dropbox:ns:123/Signed/all/{PATH}"


def test_a_namespace_is_a_number() -> None:
    with pytest.raises(ValueError, match="a number"):
        DropboxSettings(app_key="k", app_secret=Secret("s"), refresh_token=Secret("r"), namespace="team")

"""What is special about Google Drive: names that are not unique, ids that are made before, lists that lag behind."""

import json
from typing import Any

import pytest

from tests.guard import secret
from webhook_svc.core.errors import Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.gdrive import GoogleDrive, GoogleDriveSettings

from .rigs.front import Fault
from .rigs.gdrive import FOLDER, SHARED
from .rigs.google import service_account_key
from .rigs.session import PIECE

on_drive = pytest.mark.parametrize("rig", ["gdrive"], indirect=True)
in_pieces = pytest.mark.usefixtures("small_pieces")

STEP = 256 * 1024
PATH = "contracts/doc-1/deed.pdf"
DEED = b"%PDF-1.7 deed %%EOF"
LARGE = bytes(range(251)) * 400


@pytest.fixture
def small_pieces(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.small_pieces(monkeypatch)


def reason(word: str, status: int = 403, **headers: str) -> Fault:
    body = {"error": {"code": status, "message": "hunter2", "errors": [{"reason": word, "message": "hunter2"}]}}
    return Fault(status=status, headers=headers, body=json.dumps(body).encode())


def sent_pieces(rig: Any) -> int:
    return len([target for method, target in rig.front.seen if method == "PUT"])


# --- large files --------------------------------------------------------------------------------------------------


@on_drive
@in_pieces
@pytest.mark.parametrize("size", [PIECE, PIECE + 1, 2 * PIECE, len(LARGE)])
def test_a_large_file_goes_in_pieces(rig: Any, bundle: Any, progress: Any, size: int) -> None:
    sent = bundle(files={PATH: LARGE[:size]})
    receipt = rig.sink.deliver(sent.delivery(), progress)
    assert rig.expected(sent) == rig.visible()
    assert -(-size // PIECE) + 1 == sent_pieces(rig)  # and the manifest
    assert "SHA-256 of the stored file" == receipt.proof


@on_drive
@in_pieces
@pytest.mark.parametrize(("what", "value"), [("lasts", 2), ("keeps", PIECE - 1)], ids=["expired", "partly received"])
def test_an_upload_that_broke_off_begins_anew_with_the_next_try(
    rig: Any, bundle: Any, progress: Any, what: str, value: int
) -> None:
    whole = getattr(rig.api.state, what)
    setattr(rig.api.state, what, value)
    with pytest.raises(Retryable, match="sending a piece"):
        rig.sink.deliver(bundle(files={PATH: LARGE}).delivery(), progress)
    assert {} == rig.visible()
    setattr(rig.api.state, what, whole)
    assert not rig.again().deliver(bundle(files={PATH: LARGE}).delivery(), progress).found
    assert rig.expected(bundle(files={PATH: LARGE})) == rig.visible()


def test_pieces_are_as_large_as_drive_wants_them() -> None:
    assert 0 == GoogleDrive.piece % STEP


# --- ids, and lists that lag behind -------------------------------------------------------------------------------


@on_drive
def test_ids_are_made_once_for_a_delivery_and_remembered(rig: Any, bundle: Any, progress: Any) -> None:
    receipt = rig.sink.deliver(bundle().delivery(), progress)
    assert receipt.details["ids"] == progress.load()["ids"]
    assert 1 == len([target for _, target in rig.front.seen if "generateIds" in target])


@on_drive
def test_an_earlier_try_is_found_by_its_id_where_lists_do_not_show_it(rig: Any, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    rig.api.state.unlisted = 4
    assert rig.again().deliver(bundle().delivery(), progress).found
    assert rig.expected(bundle()) == rig.visible()


@on_drive
def test_a_file_that_lists_do_not_show_yet_is_compared_by_its_id(rig: Any, bundle: Any, progress: Any) -> None:
    rig.api.state.unlisted = 4
    assert not rig.sink.deliver(bundle().delivery(), progress).found
    assert rig.expected(bundle()) == rig.visible()


@on_drive
def test_a_file_that_was_thrown_away_is_written_again_under_another_id(rig: Any, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    for item in rig.api.state.items.values():
        item.trashed = item.mime != FOLDER
    with pytest.raises(Retryable, match="cannot be seen"):
        rig.again().deliver(bundle().delivery(), progress)
    assert not rig.again().deliver(bundle().delivery(), progress).found
    assert rig.expected(bundle()) == rig.visible()


@on_drive
@pytest.mark.parametrize("same", [True, False], ids=["the same bytes", "other bytes"])
def test_a_file_that_appears_during_the_upload_counts_and_ours_goes_to_the_bin(
    rig: Any, bundle: Any, progress: Any, same: bool
) -> None:
    theirs = DEED if same else b"another contract"

    def slip_in() -> None:
        rig.api.state.race = lambda: None
        rig.plant(PATH, theirs)

    rig.api.state.race = slip_in
    if same:
        rig.sink.deliver(bundle().delivery(), progress)
    else:
        with pytest.raises(Conflict):
            rig.sink.deliver(bundle().delivery(), progress)
    assert theirs == rig.visible()[PATH]
    assert 1 == len([item for item in rig.api.state.items.values() if item.trashed])


@on_drive
def test_a_copy_of_ours_that_cannot_be_thrown_away_is_spoken_of(rig: Any, bundle: Any, progress: Any) -> None:
    def slip_in() -> None:
        rig.api.state.race = lambda: None
        rig.plant(PATH, DEED)

    rig.api.state.race, rig.api.state.binning = slip_in, False
    receipt = rig.sink.deliver(bundle().delivery(), progress)
    assert ["a second copy of ours stands beside it"] == receipt.details["notes"]


@on_drive
def test_the_oldest_file_of_a_name_is_the_one_that_counts(rig: Any, bundle: Any, progress: Any) -> None:
    rig.plant(PATH, DEED)
    rig.plant(PATH, b"a later copy")
    rig.sink.deliver(bundle().delivery(), progress)
    assert 0 == len([item for item in rig.api.state.items.values() if item.trashed])


@on_drive
def test_the_oldest_folder_of_a_name_is_used(rig: Any, bundle: Any, progress: Any) -> None:
    older = rig.api.add("older", "contracts", SHARED, FOLDER)
    rig.api.add("younger", "contracts", SHARED, FOLDER)
    rig.sink.deliver(bundle().delivery(), progress)
    assert [older.id] == [item.parent for item in rig.api.state.items.values() if item.name == "doc-1"]


@on_drive
def test_a_folder_of_the_name_of_a_file_is_in_nobodys_way(rig: Any, bundle: Any, progress: Any) -> None:
    rig.plant(f"{PATH}/page.pdf", b"page")
    rig.sink.deliver(bundle().delivery(), progress)
    assert DEED == rig.visible()[PATH]


@on_drive
def test_pages_without_files_are_turned(rig: Any, bundle: Any, progress: Any) -> None:
    rig.sink.deliver(bundle().delivery(), progress)
    rig.api.state.empty_pages = 7
    assert rig.again().deliver(bundle().delivery(), progress).found
    rig.api.state.empty_pages = 1000
    with pytest.raises(Retryable, match="does not end"):
        rig.again().deliver(bundle().delivery(), progress)


# --- what is answered ---------------------------------------------------------------------------------------------


@on_drive
@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (reason("storageQuotaExceeded"), Retryable, "403 storageQuotaExceeded"),
        (reason("userRateLimitExceeded"), Retryable, "userRateLimitExceeded"),
        (reason("insufficientFilePermissions"), Retryable, "insufficientFilePermissions"),
        (reason("badRequest", 400), Permanent, "400 badRequest"),
        (reason("notFound", 404), Permanent, "404 notFound"),
        (reason("rateLimitExceeded", 429, **{"Retry-After": "17"}), Retryable, "rate limit"),
        (reason("backendError", 503, **{"Retry-After": "17"}), Retryable, "503 backendError"),
    ],
    ids=lambda value: value.body.decode()[-80:-30] if isinstance(value, Fault) else None,
)
def test_the_answer_decides_the_fate(
    rig: Any, bundle: Any, progress: Any, fault: Fault, fate: type[WebhookError], said: str
) -> None:
    rig.front.meet(fault)
    with pytest.raises(fate, match=said) as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert (17 if "Retry-After" in fault.headers else None) == getattr(caught.value, "after", None)
    assert "hunter2" not in str(caught.value)


@on_drive
def test_without_a_sha256_the_md5_is_compared(rig: Any, bundle: Any, progress: Any) -> None:
    rig.api.state.checksums = ("md5Checksum",)
    assert "MD5 of the stored file" == rig.sink.deliver(bundle().delivery(), progress).proof
    item = next(item for item in rig.api.state.items.values() if item.name == "deed.pdf")
    item.content = item.content[::-1]
    with pytest.raises(Conflict):
        rig.again().deliver(bundle().delivery(), progress)


@on_drive
def test_a_document_of_googles_own_kind_holds_other_bytes(rig: Any, bundle: Any, progress: Any) -> None:
    rig.plant(PATH, DEED)
    rig.api.state.checksums = ()
    with pytest.raises(Conflict):
        rig.sink.deliver(bundle().delivery(), progress)


# --- names, places, credentials -----------------------------------------------------------------------------------


@on_drive
@pytest.mark.parametrize("name", ["it's.pdf", "a\\b.pdf", "\\'.pdf", 'a"*:<>?|.pdf', "CON.pdf", " . ", "line\nbreak"])
def test_names_may_be_anything(rig: Any, bundle: Any, progress: Any, name: str) -> None:
    sent = bundle(files={f"it's\\/{name}": DEED})
    rig.sink.deliver(sent.delivery(), progress)
    assert rig.expected(sent) == rig.visible()
    assert rig.again().deliver(sent.delivery(), progress).found


@on_drive
def test_a_folder_outside_of_shared_drives_is_written_to(rig: Any, bundle: Any, progress: Any) -> None:
    rig.make(shared_drive="", subject="legal@acme.example").deliver(bundle().delivery(), progress)
    assert rig.expected(bundle()) == rig.visible()


@on_drive
def test_a_person_on_whose_behalf_we_may_not_act_is_tried_again(rig: Any) -> None:
    with pytest.raises(Retryable, match="401 unauthorized_client"):
        rig.make(subject="other@acme.example").check()


@on_drive
def test_check_tells_a_file_from_a_folder(rig: Any) -> None:
    rig.api.add("a-file", "deed.pdf", SHARED, "application/pdf")
    with pytest.raises(Permanent, match="not that of a folder"):
        rig.make(folder_id="a-file").check()


@on_drive
def test_check_finds_that_we_may_only_read(rig: Any) -> None:
    rig.api.state.writable = False
    with pytest.raises(Retryable, match="may not add files"):
        rig.sink.check()


@pytest.mark.parametrize("text", ["{}", secret("no-json"), service_account_key(private_key=secret("not-a-key"))])
def test_a_key_that_cannot_be_used_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"key") as caught:
        GoogleDriveSettings(key=Secret(text), folder_id="x")
    assert secret("") not in str(caught.value)

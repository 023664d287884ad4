"""What is special about SharePoint: sessions, its hash, its names, and where a drive is found."""

from base64 import b64decode
from typing import Any

import pytest

from webhook_svc.core.errors import Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret
from webhook_svc.sinks.shared.quickxor import QuickXor
from webhook_svc.sinks.sharepoint import SharePoint, SharePointSettings

from .rigs.front import Fault
from .rigs.session import PIECE

on_sharepoint = pytest.mark.parametrize("rig", ["sharepoint"], indirect=True)

STEP = 320 * 1024
PATH = "contracts/doc-1/deed.pdf"
LARGE = bytes(range(251)) * 400


in_pieces = pytest.mark.usefixtures("small_pieces")


@pytest.fixture
def small_pieces(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.small_pieces(monkeypatch)


# --- the hash -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("Sg==", "SgAAAAAAAAAAAAAAAQAAAAAAAAA="),
        ("/aNzzCFPS/A=", "/RjFHJgRgicsAR4ACAAAAAAAAAA="),
        ("2fuxhBJXtpWFe8dOfdGeHw==", "O9tHLAghgSvYohKFyMMxnNCHaHg="),
        ("N9abi3qy/mC1THZuVLHPpx7SgwtLOA==", "1KTYttCBEen8Hwy1doId3ECFWDw="),
    ],
)
def test_the_hash_agrees_with_published_vectors(content: str, expected: str) -> None:
    ours = QuickXor()
    ours.update(b64decode(content))
    assert expected == ours.base64()


@pytest.mark.parametrize("size", [1, 159, 160, 161, 7777])
def test_the_hash_is_the_same_however_the_bytes_come(size: int) -> None:
    whole, pieces = QuickXor(), QuickXor()
    whole.update(LARGE[:20_000])
    for start in range(0, 20_000, size):
        pieces.update(LARGE[start : min(start + size, 20_000)])
    assert whole.base64() == pieces.base64()


# --- large files --------------------------------------------------------------------------------------------------


@on_sharepoint
@in_pieces
@pytest.mark.parametrize("size", [PIECE + 1, 2 * PIECE, len(LARGE)], ids=["a byte more", "even", "odd"])
def test_a_large_file_goes_in_pieces(rig: Any, bundle: Any, progress: Any, size: int) -> None:
    sent = bundle(files={PATH: LARGE[:size]})
    receipt = rig.sink.deliver(sent.delivery(), progress)
    assert rig.expected(sent) == rig.visible()
    assert -(-size // PIECE) == len([target for method, target in rig.front.seen if target.startswith("/up/")])
    assert "quickXorHash of the stored file" == receipt.proof


@on_sharepoint
def test_a_folder_that_is_there_is_used(rig: Any, bundle: Any, progress: Any) -> None:
    for name in ("one.pdf", "two.pdf"):
        rig.again().deliver(bundle(files={f"contracts/doc-1/{name}": b"%PDF"}).delivery(), progress)
    assert {"contracts", "contracts/doc-1"} == rig.drive.folders


def test_pieces_are_as_large_as_graph_wants_them() -> None:
    assert 0 == SharePoint.piece % STEP
    assert SharePoint.piece < 60 * 1024**2
    assert SharePoint.at_once <= 250 * 10**6


# --- what is answered ---------------------------------------------------------------------------------------------


@on_sharepoint
@pytest.mark.parametrize(
    ("fault", "fate", "said"),
    [
        (Fault(status=400, body=b'{"error":{"code":"invalidRequest"}}'), Permanent, "400 invalidRequest"),
        (Fault(status=403, body=b'{"error":{"code":"accessDenied"}}'), Retryable, "403 accessDenied"),
        (Fault(status=403, body=b'{"error":{"code":"quotaLimitReached"}}'), Retryable, "quotaLimitReached"),
        (Fault(status=404, body=b'{"error":{"code":"itemNotFound"}}'), Retryable, "folder"),
        (Fault(status=409, body=b'{"error":{"code":"resourceModified"}}'), Retryable, "cannot be seen"),
        (Fault(status=413), Permanent, "413"),
        (Fault(status=423, body=b'{"error":{"code":"resourceLocked"}}'), Retryable, "423 resourceLocked"),
        (Fault(status=429, headers={"Retry-After": "17"}), Retryable, "rate limit"),
        (Fault(status=503, headers={"Retry-After": "17"}), Retryable, "503"),
        (Fault(status=507, body=b'{"error":{"code":"insufficientStorage"}}'), Retryable, "no space"),
        (Fault(status=509), Retryable, "509"),
    ],
    ids=lambda value: f"{value.status} {value.body.decode()[:40]}" if isinstance(value, Fault) else None,
)
def test_the_answer_to_an_upload_decides_the_fate(
    rig: Any, bundle: Any, progress: Any, fault: Fault, fate: type[WebhookError], said: str
) -> None:
    rig.plant("contracts/doc-0/x.pdf", b"")
    rig.sink.check()
    rig.front.meet(fault, at=2)
    with pytest.raises(fate, match=said) as caught:
        rig.sink.deliver(bundle().delivery(), progress)
    assert (17 if "Retry-After" in fault.headers else None) == getattr(caught.value, "after", None)
    assert ["GET", "POST", "PUT"] == [method for method, _ in rig.front.seen][:3]
    assert {"contracts/doc-0/x.pdf"} == set(rig.visible())


@on_sharepoint
def test_a_file_that_cannot_be_seen_yet_is_no_receipt(rig: Any, bundle: Any, progress: Any) -> None:
    rig.plant("contracts/doc-1/other.pdf", b"")
    rig.drive.unseen = 1
    with pytest.raises(Retryable, match="cannot be seen"):
        rig.sink.deliver(bundle().delivery(), progress)
    assert not rig.again().deliver(bundle().delivery(), progress).found


@on_sharepoint
def test_a_file_without_a_hash_is_read_back(rig: Any, bundle: Any, progress: Any) -> None:
    rig.drive.hashes = False
    assert "read back and hashed" == rig.sink.deliver(bundle().delivery(), progress).proof
    rig.drive.files[PATH] = rig.drive.files[PATH][::-1]
    with pytest.raises(Conflict):
        rig.again().deliver(bundle().delivery(), progress)


# --- names and places ---------------------------------------------------------------------------------------------


@on_sharepoint
@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("forms/deed.pdf", "_forms/deed.pdf"),
        ("a/forms/deed.pdf", "a/forms/deed.pdf"),
        ("forms", "forms"),
        ("~drafts/~$deed.pdf", "_~drafts/_~$deed.pdf"),
        ("a. /x ./ deed.pdf.", "a/x/deed.pdf"),
        ("CON/lpt1.txt", "_CON/_lpt1.txt"),
        (".lock", "_.lock"),
        ("x/Desktop.ini", "x/_Desktop.ini"),
        ("my_vti_x.pdf", "my_vti-x.pdf"),
        ("My_VTI_x.pdf", "My_vti-x.pdf"),
        ('a"*:<>?|\\b.pdf', "a________b.pdf"),
        (" . ", "_"),
    ],
)
def test_names_that_the_service_refuses_become_others(
    rig: Any, bundle: Any, progress: Any, path: str, stored: str
) -> None:
    rig.make(folder="").deliver(bundle(files={path: b"%PDF"}).delivery(), progress)
    assert b"%PDF" == rig.visible()[stored]


@on_sharepoint
@pytest.mark.parametrize("path", ["contracts", "contracts/doc-1"])
def test_a_file_where_a_folder_is_needed_is_a_conflict(rig: Any, bundle: Any, progress: Any, path: str) -> None:
    rig.plant(path, b"a file")
    with pytest.raises(Conflict, match=f"a file stands at {path},"):
        rig.sink.deliver(bundle().delivery(), progress)
    assert {path: b"a file"} == rig.visible()


@on_sharepoint
def test_a_folder_that_cannot_be_seen_where_one_is_said_to_stand_is_tried_again(
    rig: Any, bundle: Any, progress: Any
) -> None:
    rig.front.meet(Fault(status=409), at=2)
    with pytest.raises(Retryable, match="making a folder: the answer was 409, and 404 when we looked"):
        rig.sink.deliver(bundle().delivery(), progress)


@on_sharepoint
def test_the_folder_stands_before_every_name(rig: Any, bundle: Any, progress: Any) -> None:
    receipt = rig.make(folder="/Signed contracts/all/").deliver(bundle().delivery(), progress)
    assert {f"Signed contracts/all/{path}" for path in rig.expected(bundle())} == set(rig.visible())
    assert receipt.location == f"{rig.drive.id}: Signed contracts/all/{PATH}"


@on_sharepoint
@pytest.mark.parametrize("library", ["", "Contracts"])
def test_a_drive_is_found_by_its_site(rig: Any, bundle: Any, progress: Any, library: str) -> None:
    sink = rig.make(site=f"acme.sharepoint.com/sites/{rig.drive.id}/", library=library)
    assert "takes our credentials" in sink.check()
    sink.deliver(bundle().delivery(), progress)
    assert rig.expected(bundle()) == rig.visible()


@on_sharepoint
def test_a_drive_is_found_by_its_owner(rig: Any, bundle: Any, progress: Any) -> None:
    rig.make(user=f"{rig.drive.id}@acme.example").deliver(bundle().delivery(), progress)
    assert rig.expected(bundle()) == rig.visible()


@on_sharepoint
@pytest.mark.parametrize("place", [{"library": "Letters"}, {"site": "acme.sharepoint.com/sites/nowhere"}])
def test_a_place_that_is_not_there_is_given_up(rig: Any, place: dict[str, str]) -> None:
    with pytest.raises(Permanent, match="looking for the drive"):
        rig.make(**{"site": f"acme.sharepoint.com/sites/{rig.drive.id}", **place}).check()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, "one of site, user and drive"),
        ({"site": "a.example/s", "drive": "b!x"}, "one of site, user and drive"),
        ({"site": "https://a.example/s"}, "without https://"),
        ({"drive": "b!x", "library": "Contracts"}, "a site with the library"),
    ],
)
def test_a_place_is_named_once(place: dict[str, str], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        SharePointSettings(tenant="t", client_id="c", client_secret=Secret("s"), **place)  # type: ignore[arg-type]

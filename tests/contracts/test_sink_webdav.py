"""What the WebDAV sink makes of refusals, of proxies in between and of servers that do not do what they say."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from wsgidav import request_server

from tests.guard import secret
from webhook_svc.core.errors import ArtifactLost, Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.settings import Secret, Url
from webhook_svc.sinks.webdav import WebdavSettings

from .rigs.base import SECRETS, make_sink
from .rigs.front import Fault
from .rigs.servers import Servers
from .rigs.webdav import WebdavRig, wsgidav

KEY = "contracts/doc-1/deed.pdf"
DEED = b"%PDF-1.7 deed %%EOF"


@pytest.fixture
def rig(servers: Servers, tmp_path: Path, start: ExitStack) -> WebdavRig:
    return WebdavRig(servers, tmp_path, start)


@pytest.fixture
def number_of(rig: WebdavRig, bundle: Any, progress: Any) -> Any:
    """The number that a delivery's first request of a method has, or its last."""

    def find(method: str, *, last: bool = False, **changes: Any) -> int:
        rig.front.forget()
        sent = bundle(files={"count/count.pdf": DEED}, manifest_path="count/m.json").delivery()
        rig.make(manifest=False, **changes).deliver(sent, type(progress)())
        found = [number for number, (each, _) in enumerate(rig.front.seen) if each == method]
        return found[-1 if last else 0]

    return find


def one_file(rig: WebdavRig, **changes: Any) -> Any:
    return rig.make(manifest=False, **changes)


# --- what is answered -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "fate", "said"),
    [
        ("HEAD", 403, Retryable, "looking: the answer was 403"),
        ("MKCOL", 403, Retryable, "making a folder: the answer was 403"),
        ("MKCOL", 415, Permanent, "making a folder"),
        ("MKCOL", 507, Retryable, "no space"),
        ("PUT", 401, Retryable, "credentials"),
        ("PUT", 404, Permanent, "writing: the answer was 404"),
        ("PUT", 409, Retryable, "writing: the answer was 409"),
        ("PUT", 413, Permanent, "413"),
        ("PUT", 423, Retryable, "locked"),
        ("PUT", 507, Retryable, "no space"),
        ("GET", 403, Retryable, "reading back"),
        ("MOVE", 207, Retryable, "moving: the answer was 207"),
        ("MOVE", 403, Retryable, "moving"),
        ("MOVE", 405, Permanent, "moving"),
        ("MOVE", 409, Retryable, "moving"),
        ("MOVE", 412, Retryable, "nothing stands at the target"),
        ("MOVE", 423, Retryable, "locked"),
    ],
)
def test_the_answer_decides_the_fate_and_nothing_is_left(
    rig: WebdavRig, number_of: Any, bundle: Any, progress: Any,
    method: str, status: int, fate: type[WebhookError], said: str,
) -> None:  # fmt: skip
    at = number_of(method)
    before = rig.visible()
    rig.front.meet(Fault(status=status), at=at)
    with pytest.raises(fate, match=said) as caught:
        one_file(rig).deliver(bundle(files={"new/deed.pdf": DEED}).delivery(), progress)
    assert fate is type(caught.value)
    assert before == rig.visible()


@pytest.mark.parametrize("status", [400, 502])
def test_where_a_proxy_stands_between_the_destination_is_told_as_a_path(
    rig: WebdavRig, number_of: Any, bundle: Any, progress: Any, status: int
) -> None:
    rig.front.meet(Fault(status=status), at=number_of("MOVE"))
    one_file(rig).deliver(bundle(files={"new/deed.pdf": DEED}).delivery(), progress)
    assert DEED == rig.visible()["new/deed.pdf"]
    assert 2 == [method for method, _ in rig.front.seen].count("MOVE")


def test_a_server_that_kept_other_bytes_is_found_out_before_the_move(
    rig: WebdavRig, number_of: Any, bundle: Any, progress: Any
) -> None:
    rig.front.meet(Fault(status=200, body=DEED[::-1]), at=number_of("GET"))
    with pytest.raises(Retryable, match="other bytes"):
        one_file(rig).deliver(bundle(files={"new/deed.pdf": DEED}).delivery(), progress)
    assert "MOVE" not in [method for method, _ in rig.front.seen]


def test_a_file_that_is_not_where_it_was_moved_to_is_no_receipt(
    rig: WebdavRig, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WsgiDAV as it is: it takes a semicolon for the end of the path."""
    monkeypatch.setattr(request_server, "urlparse", urlparse)
    with pytest.raises(Retryable, match="cannot be seen"):
        one_file(rig).deliver(bundle(files={"a;b.pdf": DEED}).delivery(), progress)


def test_size_is_enough_of_a_proof_for_a_new_file_alone(rig: WebdavRig, bundle: Any, progress: Any) -> None:
    sink = one_file(rig, verify="size")
    assert "size of the stored file" == sink.deliver(bundle().delivery(), progress).proof
    assert "GET" not in [method for method, _ in rig.front.seen]
    (rig.root / KEY).write_bytes(DEED[::-1])
    with pytest.raises(Conflict):
        sink.deliver(bundle().delivery(), progress)


def test_where_the_size_is_not_told_the_bytes_decide(rig: WebdavRig, bundle: Any, progress: Any) -> None:
    """As where a proxy compresses on its way."""
    rig.plant(KEY, DEED)
    rig.front.meet(Fault(status=204), at=0)
    assert one_file(rig).deliver(bundle().delivery(), progress).found


def test_a_longer_file_whose_size_is_not_told_is_a_conflict(rig: WebdavRig, bundle: Any, progress: Any) -> None:
    rig.plant(KEY, DEED + b"longer")
    rig.front.meet(Fault(status=204), at=0)
    with pytest.raises(Conflict):
        one_file(rig).deliver(bundle().delivery(), progress)


def test_where_the_size_of_a_new_file_is_not_told_it_is_read_back(rig: WebdavRig, bundle: Any, progress: Any) -> None:
    rig.front.meet(Fault(status=204), at=3)
    one_file(rig, verify="size").deliver(bundle(files={"new/deed.pdf": DEED}).delivery(), progress)
    assert ["HEAD", "MKCOL", "PUT", "HEAD", "GET", "MOVE", "HEAD"] == [method for method, _ in rig.front.seen]


# --- what stands there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("planted", "fate"), [(b"others", Conflict), (DEED, None)])
def test_what_slips_in_between_look_and_move_stays(
    rig: WebdavRig, bundle: Any, progress: Any, planted: bytes, fate: type[WebhookError] | None
) -> None:
    with pytest.raises(fate) if fate else ExitStack():
        rig.sink.deliver(bundle(still_ours=lambda: rig.plant(KEY, planted)).delivery(), progress)
    assert planted == rig.visible()[KEY]
    assert [] == [name for name in rig.visible() if name.endswith(".tmp")]


def test_a_folder_at_the_target_is_left_alone(rig: WebdavRig, bundle: Any, progress: Any) -> None:
    rig.plant(f"{KEY}/inner.txt", b"theirs")
    with pytest.raises((Conflict, Permanent)):
        rig.sink.deliver(bundle().delivery(), progress)
    assert {f"{KEY}/inner.txt": b"theirs"} == rig.visible()


def test_what_a_broken_upload_left_is_removed_by_the_next_try(
    rig: WebdavRig, servers: Servers, bundle: Any, progress: Any
) -> None:
    """Without a door before it, WsgiDAV keeps the half it got."""
    url = f"{servers.get('wsgidav', wsgidav).url}/{rig.root.name}"
    sink = make_sink("webdav", {"url": url, "user": "bot", "password": SECRETS[0]})
    files = {KEY: bytes(range(256)) * 8192}
    with pytest.raises(ArtifactLost):
        sink.deliver(bundle(files=files, lost={"deed.pdf": 1_000_000}).delivery(), progress)
    assert [] == [name for name in rig.visible() if not name.endswith(".tmp")]
    sink.deliver(bundle(files=files).delivery(), progress)
    assert rig.expected(bundle(files=files)) == rig.visible()


def test_what_a_try_that_died_left_is_removed_by_the_next_one(rig: WebdavRig, bundle: Any, progress: Any) -> None:
    rig.plant("contracts/doc-1/.0123-0.tmp", b"half")
    progress.save({"begun": "0123"})
    rig.sink.deliver(bundle().delivery(), progress)
    assert rig.expected(bundle()) == rig.visible()


def test_the_folder_stands_before_every_name_and_is_made(rig: WebdavRig, bundle: Any, progress: Any) -> None:
    receipt = rig.make(folder="/signed/2026/").deliver(bundle().delivery(), progress)
    assert {"signed/2026/" + KEY, "signed/2026/contracts/doc-1/manifest.json"} == set(rig.visible())
    assert f"{rig.front.address}/{rig.root.name}/signed/2026/{KEY}" == receipt.location


def test_check_writes_where_a_delivery_would(rig: WebdavRig) -> None:
    sink = rig.make(folder="/signed/2026/")
    assert sink.check().endswith("takes files from bot (the folder will be made)")
    (rig.root / "signed/2026").mkdir(parents=True)
    rig.front.forget()
    assert sink.check().endswith("takes files from bot")
    assert ["PUT", "DELETE"] == [method for method, _ in rig.front.seen]
    assert all("/signed/2026/." in target for _, target in rig.front.seen)
    assert {} == rig.visible()


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": Url("https://bot:pw@cloud.example/dav")}, "url"),
        ({"url": Url("https://cloud.example/dav?a=b")}, "url"),
        ({"folder": "a/../../b"}, "folder"),
        ({"user": "bot"}, "password"),
        ({"password": Secret(secret("password"))}, "user"),
        ({"user": "b:ot", "password": Secret(secret("password"))}, "colon"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WebdavSettings(**{"url": Url("https://cloud.example/dav"), **changes})


def test_a_path_that_leads_out_is_refused(rig: WebdavRig, bundle: Any, progress: Any) -> None:
    with pytest.raises(Permanent, match="leads out"):
        rig.sink.deliver(bundle(files={"../out.pdf": DEED}).delivery(), progress)

"""What the folder sink makes of links, full disks and a file system that says no."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest

from webhook_svc.core.errors import ArtifactLost, Conflict, Permanent, Retryable, WebhookError
from webhook_svc.core.ports import Http, Progress
from webhook_svc.sinks.folder import Folder, FolderSettings

KEY = "contracts/doc-1/deed.pdf"
NOBODY = cast(Http, None)  # a folder asks nobody
NO_MEMORY = cast(Progress, None)  # and remembers nothing between its tries


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def folder(root: Path) -> Folder:
    return Folder("archive", FolderSettings(path=str(root)), NOBODY)


def test_bytes_then_name_then_folder_reach_the_disk(
    folder: Folder, root: Path, bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[str] = []
    real_sync, real_link = os.fsync, os.link

    def sync(handle: int) -> None:
        acts.append("sync " + os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        real_sync(handle)

    def link(source: str, target: str) -> None:
        acts.append("link " + os.path.basename(target))
        real_link(source, target)

    root.joinpath("contracts/doc-1").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "link", link)
    folder.deliver(bundle(still_ours=lambda: acts.append("ours")).delivery(), NO_MEMORY)
    named = ["sync temp" if act.endswith(".part") else act for act in acts]
    names = ["link deed.pdf", "link manifest.json"]
    folders = ["sync doc-1", "sync contracts", "sync archive", f"sync {root.parent.name}"]
    assert ["sync temp", "sync temp", "ours", *names, *folders] == named


def test_a_found_file_is_synced_again_because_the_earlier_try_may_have_died(
    folder: Folder, root: Path, bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.deliver(bundle().delivery(), NO_MEMORY)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    Folder("archive", folder.settings, NOBODY).deliver(bundle().delivery(), NO_MEMORY)
    assert {str(root), str(root / "contracts"), str(root / "contracts/doc-1")} <= set(synced)


def test_a_part_that_lies_in_a_file_is_copied_and_not_streamed(folder: Folder, root: Path, bundle: Any) -> None:
    sent = bundle(lost={"deed.pdf": 0}).delivery()
    (root.parent / "stored").write_bytes(bundle().files[KEY])
    folder.deliver(replace(sent, path=lambda _: root.parent / "stored"), NO_MEMORY)
    assert bundle().files[KEY] == (root / KEY).read_bytes()


@pytest.mark.parametrize("held", [b"%PDF-1.7 deed %%EOG", b"%PDF", b"%PDF-1.7 deed %%EOF and more", None])
def test_a_file_that_is_gone_or_holds_other_bytes_is_proved_by_the_vault(
    folder: Folder, root: Path, bundle: Any, held: bytes | None
) -> None:
    stored = root.parent / "stored"
    if held is not None:
        stored.write_bytes(held)
    with pytest.raises(ArtifactLost):
        folder.deliver(replace(bundle(lost={"deed.pdf": 3}).delivery(), path=lambda _: stored), NO_MEMORY)
    folder.deliver(replace(bundle().delivery(), path=lambda _: stored), NO_MEMORY)
    assert bundle().files[KEY] == (root / KEY).read_bytes()


@pytest.mark.parametrize("held", [b"", b"%PDF-1.7 deed %%EOG", b"%PDF-1.7 deed %%EOF and more"])
def test_a_copy_of_other_bytes_is_fetched_again_and_never_placed(
    folder: Folder, root: Path, bundle: Any, held: bytes
) -> None:
    delivery = replace(bundle().delivery(), open=lambda _: BytesIO(held))
    with pytest.raises(ArtifactLost):
        folder.deliver(delivery, NO_MEMORY)
    assert [] == [one for one in root.rglob("*") if one.is_file()]


@pytest.mark.parametrize("path", ["../out.pdf", "a/../../out.pdf", "/tmp/out.pdf", "link/out.pdf", "link/deep/out.pdf"])
def test_a_path_that_leads_out_of_the_root_is_refused(folder: Folder, root: Path, bundle: Any, path: str) -> None:
    root.mkdir()
    (root.parent / "elsewhere").mkdir()
    (root / "link").symlink_to("../elsewhere")
    with pytest.raises(Permanent, match="leads out"):
        folder.deliver(bundle(files={path: b"%PDF"}).delivery(), NO_MEMORY)
    assert ["archive", "elsewhere"] == sorted(one.name for one in root.parent.iterdir())
    assert [] == list((root.parent / "elsewhere").iterdir())


def test_a_link_that_stays_inside_is_followed(folder: Folder, root: Path, bundle: Any) -> None:
    (root / "by-year").mkdir(parents=True)
    (root / "contracts").symlink_to("by-year")
    folder.deliver(bundle().delivery(), NO_MEMORY)
    assert (root / "by-year/doc-1/deed.pdf").is_file()


def test_a_root_that_is_a_link_is_the_operators_choice(root: Path, bundle: Any) -> None:
    (root.parent / "volume").mkdir()
    root.symlink_to("volume")
    Folder("archive", FolderSettings(path=str(root)), NOBODY).deliver(bundle().delivery(), NO_MEMORY)
    assert (root.parent / "volume" / KEY).is_file()


@pytest.mark.parametrize("kind", ["folder", "dangling link", "pipe"])
def test_what_is_no_file_at_the_target_is_a_conflict(folder: Folder, root: Path, bundle: Any, kind: str) -> None:
    target = root / KEY
    target.parent.mkdir(parents=True)
    ways: dict[str, Callable[[], None]] = {
        "folder": target.mkdir,
        "dangling link": lambda: target.symlink_to("nowhere"),
        "pipe": lambda: os.mkfifo(target),
    }
    ways[kind]()
    with pytest.raises(Conflict, match="not a file"):
        folder.deliver(bundle().delivery(), NO_MEMORY)


def test_a_conflict_of_the_last_file_is_seen_before_the_first_is_written(
    folder: Folder, root: Path, bundle: Any
) -> None:
    manifest = root / "contracts/doc-1/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(b"another")
    with pytest.raises(Conflict):
        folder.deliver(bundle().delivery(), NO_MEMORY)
    assert [manifest] == [one for one in root.rglob("*") if one.is_file()]


def test_what_stood_in_the_way_and_is_gone_is_no_receipt(
    folder: Folder, bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_the_way(_: str, target: str) -> None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)

    monkeypatch.setattr(os, "link", in_the_way)
    with pytest.raises(Retryable, match="taken away"):
        folder.deliver(bundle().delivery(), NO_MEMORY)


def test_without_manifest_only_the_files_are_written(root: Path, bundle: Any) -> None:
    settings = FolderSettings(path=str(root), manifest=False)
    Folder("archive", settings, NOBODY).deliver(bundle().delivery(), NO_MEMORY)
    assert [root / KEY] == [one for one in root.rglob("*") if one.is_file()]


@pytest.mark.parametrize(
    ("number", "fate", "said"),
    [
        (errno.ENOSPC, Retryable, "disk is full"),
        (errno.EDQUOT, Retryable, "quota"),
        (errno.EACCES, Retryable, "permission denied"),
        (errno.EROFS, Retryable, "read-only"),
        (errno.EIO, Retryable, "rror"),
        (errno.ESTALE, Retryable, "tale"),
        (errno.ENAMETOOLONG, Permanent, "too long"),
        (errno.ENOTSUP, Permanent, "hard links"),
        (errno.EPERM, Permanent, "hard links"),
        (errno.ENOSYS, Permanent, "hard links"),
    ],
)
def test_what_the_system_says_becomes_a_fate(
    folder: Folder, root: Path, bundle: Any, monkeypatch: pytest.MonkeyPatch,
    number: int, fate: type[WebhookError], said: str,
) -> None:  # fmt: skip
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), "somewhere")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(fate, match=said) as caught:
        folder.deliver(bundle().delivery(), NO_MEMORY)
    assert fate is type(caught.value)
    assert [] == [one for one in root.rglob("*") if one.is_file()]


def test_a_really_full_disk_leaves_nothing_behind(bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    left = [1_000_000]

    def write(handle: int, chunk: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = real_write(handle, bytes(chunk)[: left[0]])
        left[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", write)
    folder = Folder("archive", FolderSettings(path=str(tmp_path / "archive")), NOBODY)
    with pytest.raises(Retryable, match="disk is full"):
        folder.deliver(bundle(files={KEY: b"x" * 3_000_000}).delivery(), NO_MEMORY)
    assert [] == [one for one in tmp_path.rglob("*") if one.is_file()]


def test_links_that_go_round_in_circles_are_named(folder: Folder, root: Path, bundle: Any) -> None:
    root.mkdir()
    (root / "contracts").symlink_to("contracts")
    with pytest.raises(Permanent, match=r"circles|a file stands"):
        folder.deliver(bundle().delivery(), NO_MEMORY)


def test_a_name_too_long_for_the_disk_is_given_up(folder: Folder, bundle: Any) -> None:
    with pytest.raises(Permanent, match="too long"):
        folder.deliver(bundle(files={"a/" + "x" * 300: b"%PDF"}).delivery(), NO_MEMORY)


def test_check_says_so_where_a_file_stands_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = Folder("archive", FolderSettings(path=str(tmp_path / "file/archive")), NOBODY)
    with pytest.raises(Permanent, match="a file stands where a folder is needed"):
        folder.check()


def test_check_does_not_make_the_root(folder: Folder, root: Path) -> None:
    assert "will be made" in folder.check()
    assert not root.exists()


def test_an_empty_path_is_no_path() -> None:
    with pytest.raises(ValueError, match="not empty"):
        FolderSettings(path="  ")


@pytest.mark.parametrize(("umask", "file", "inner"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750)])
def test_the_umask_decides_who_may_read(
    folder: Folder, root: Path, bundle: Any, umask: int, file: int, inner: int
) -> None:
    before = os.umask(umask)
    try:
        folder.deliver(bundle().delivery(), NO_MEMORY)
    finally:
        os.umask(before)
    assert (file, inner) == tuple(path.stat().st_mode & 0o777 for path in (root / KEY, (root / KEY).parent))

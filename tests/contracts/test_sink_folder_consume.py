"""A folder that another program watches and empties: no file is brought twice, and none is lost, wherever it breaks."""

import errno
import os
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from webhook_svc.core.errors import ArtifactLost, ClaimLost, Conflict, Retryable
from webhook_svc.core.ports import Http
from webhook_svc.files import NewFile
from webhook_svc.files import new as new_files
from webhook_svc.sinks.folder import Folder, FolderSettings
from webhook_svc.sinks.shared.handover import Handover

from .rigs.base import Kept, make_sink

KEY = "contracts/doc-1/deed.pdf"
FILES = {"inbox/one.pdf": b"%PDF one", "inbox/two.pdf": b"%PDF two"}


class Killed(BaseException):
    """The process is gone."""


class Inbox:
    """The folder, and the program that watches it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.taken: list[str] = []

    def sink(self, **changes: Any) -> Folder:
        return Folder("inbox", FolderSettings(path=str(self.root), consume=True, **changes), cast(Http, None))

    def names(self) -> list[str]:
        return sorted(str(one.relative_to(self.root)) for one in self.root.rglob("*") if one.is_file())

    def take(self) -> None:
        """As paperless-ngx does: what is a document, and nothing else."""
        for name in self.names():
            if name.endswith(".pdf"):
                self.taken.append(name)
                (self.root / name).unlink()


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "consume")


def test_a_file_gets_its_name_by_a_rename_and_comes_without_a_manifest(
    inbox: Inbox, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "link")
    inbox.sink().deliver(bundle().delivery(), progress)
    assert [KEY] == inbox.names()


def test_a_manifest_is_written_where_it_is_wanted(inbox: Inbox, bundle: Any, progress: Any) -> None:
    inbox.sink(manifest=True).deliver(bundle().delivery(), progress)
    assert [KEY, "contracts/doc-1/manifest.json"] == inbox.names()


def test_until_then_it_has_a_hidden_name_that_no_pattern_of_documents_meets(
    inbox: Inbox, bundle: Any, progress: Any
) -> None:
    seen: list[str] = []
    inbox.sink().deliver(bundle(still_ours=lambda: seen.extend(inbox.names())).delivery(), progress)
    (temp,) = map(os.path.basename, seen)
    assert (".", ".part") == (temp[0], temp[-5:])


def test_what_was_taken_away_is_not_brought_again(inbox: Inbox, bundle: Any, progress: Any) -> None:
    """The answer that the delivery was done got lost, and it is made again."""
    inbox.sink().deliver(bundle(files=FILES).delivery(), progress)
    inbox.take()
    assert inbox.sink().deliver(bundle(files=FILES).delivery(), progress).found
    assert [] == inbox.names()


def test_another_delivery_of_the_same_file_brings_it_again(inbox: Inbox, bundle: Any, progress: Any) -> None:
    inbox.sink().deliver(bundle().delivery(), progress)
    inbox.take()
    inbox.sink().deliver(bundle().delivery(), type(progress)())
    inbox.take()
    assert [KEY, KEY] == inbox.taken


@pytest.mark.parametrize("renamed", [0, 1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before the rename", "after it"])
def test_a_crash_at_any_rename_brings_each_file_once(
    inbox: Inbox, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch, renamed: int, after: bool
) -> None:
    move = NewFile.move
    done: list[str] = []

    def crash(self: NewFile, final: str) -> None:
        if after or len(done) < renamed:
            move(self, final)
        if len(done) >= renamed:
            raise Killed
        done.append(final)

    with monkeypatch.context() as patched:
        patched.setattr(NewFile, "move", crash)
        if renamed < len(FILES):
            with pytest.raises(Killed):
                inbox.sink().deliver(bundle(files=FILES).delivery(), progress)
        else:
            inbox.sink().deliver(bundle(files=FILES).delivery(), progress)
    inbox.take()
    inbox.sink().deliver(bundle(files=FILES).delivery(), progress)
    inbox.take()
    assert sorted(FILES) == sorted(inbox.taken)
    assert [] == inbox.names()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_while_the_next_try_clears_up_loses_nothing(
    inbox: Inbox, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    unlink = os.unlink

    def killed(*what: Any) -> None:
        if after and isinstance(what[0], str):
            unlink(what[0])
        raise Killed

    for place, name in ((NewFile, "move"), (os, "unlink")):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, killed)
            with pytest.raises(Killed):
                inbox.sink().deliver(bundle().delivery(), progress)
    inbox.sink().deliver(bundle().delivery(), progress)
    inbox.take()
    assert [KEY] == inbox.taken


def test_the_names_are_on_disk_before_they_are_noted(
    inbox: Inbox, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[str] = []
    real_sync = os.fsync

    def sync(handle: int) -> None:
        acts.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))[-5:])
        real_sync(handle)

    class Noting(type(progress)):  # type: ignore[misc]
        def save(self, state: Any) -> None:
            acts.append("note")
            super().save(state)

    monkeypatch.setattr(os, "fsync", sync)
    inbox.sink().deliver(bundle(still_ours=lambda: acts.append("ours")).delivery(), Noting())
    before, after = acts[: acts.index("note")], acts[acts.index("note") :]
    assert [".part", "doc-1", "ours"] == [act for act in before if act in (".part", "doc-1", "ours")]
    assert "doc-1" in after


def test_many_files_are_handed_over_by_a_process_that_may_hold_few_open(
    inbox: Inbox, bundle: Any, progress: Any
) -> None:
    files = {f"inbox/{number}.pdf": b"%PDF" for number in range(50)}
    own, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, most))
    try:
        inbox.sink().deliver(bundle(files=files).delivery(), progress)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (own, most))
    inbox.take()
    assert sorted(files) == sorted(inbox.taken)
    assert inbox.sink().deliver(bundle(files=files).delivery(), progress).found
    assert [] == inbox.names()


def test_a_thousand_files_fit_into_the_memory_of_a_delivery(tmp_path: Path, progress: Any) -> None:
    """Also where every other one has its name, and the rest is about to have it."""
    first = Handover(progress, str(tmp_path))
    first.note(range(0, 1000, 2))
    second = Handover(progress, str(tmp_path))
    assert all(second.named(number, str(tmp_path)) == (number % 2 == 0) for number in range(1000))
    second.note(range(1, 1000, 2))
    third = Handover(progress, str(tmp_path))
    assert all(third.named(number, str(tmp_path)) for number in range(1000))
    assert len({second.temp(7), third.temp(7)}) == 2


def test_what_several_tries_handed_over_is_remembered(
    inbox: Inbox, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = NewFile.move
    files = {f"inbox/{number}.pdf": b"%PDF" for number in range(5)}
    for number in range(5):

        def full(self: NewFile, final: str, number: int = number) -> None:
            if int(os.path.basename(final)[0]) > number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            move(self, final)

        with monkeypatch.context() as patched, suppress(Retryable):
            patched.setattr(NewFile, "move", full)
            inbox.sink().deliver(bundle(files=files).delivery(), progress)
        inbox.take()
    assert list(files) == inbox.taken


def test_other_bytes_under_the_name_are_a_conflict_and_nothing_is_left(
    inbox: Inbox, bundle: Any, progress: Any
) -> None:
    def slip_in() -> None:
        (inbox.root / "inbox/two.pdf").write_bytes(b"others")

    with pytest.raises(Conflict):
        inbox.sink().deliver(bundle(files=FILES, still_ours=slip_in).delivery(), progress)
    assert sorted(FILES) == inbox.names()
    assert b"others" == (inbox.root / "inbox/two.pdf").read_bytes()


def test_the_same_bytes_under_the_name_are_found(inbox: Inbox, bundle: Any, progress: Any) -> None:
    def slip_in() -> None:
        (inbox.root / KEY).write_bytes(bundle().files[KEY])

    inbox.sink().deliver(bundle(still_ours=slip_in).delivery(), progress)
    assert [KEY] == inbox.names()


@pytest.mark.parametrize("lost", [{}, {"two.pdf": 3}], ids=["claim", "copy"])
def test_before_the_first_rename_nothing_is_left(
    inbox: Inbox, bundle: Any, progress: Any, lost: dict[str, int]
) -> None:
    def lose() -> None:
        raise ClaimLost

    with pytest.raises(ArtifactLost if lost else ClaimLost):
        inbox.sink().deliver(bundle(files=FILES, lost=lost, still_ours=lose).delivery(), progress)
    assert [] == inbox.names()


def test_a_rename_that_fails_is_made_by_the_next_try(
    inbox: Inbox, bundle: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(NewFile, "move", full)
        with pytest.raises(Retryable, match="disk is full"):
            inbox.sink().deliver(bundle(files=FILES).delivery(), progress)
    assert [] == inbox.names()
    assert not inbox.sink().deliver(bundle(files=FILES).delivery(), progress).found
    assert sorted(FILES) == inbox.names()


def without_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(new_files, "_rename_to_nothing", unknown)


@pytest.mark.parametrize("prepare", [lambda _: None, without_the_call], ids=["one call", "look and rename"])
def test_a_rename_never_replaces_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[pytest.MonkeyPatch], None]
) -> None:
    prepare(monkeypatch)
    (tmp_path / "stands").write_bytes(b"theirs")
    with new_files.new_file(tmp_path) as new:
        new.write(b"ours")
        with pytest.raises(FileExistsError):
            new.move(tmp_path / "stands")
        new.move(tmp_path / "free")
    assert {"stands": b"theirs", "free": b"ours"} == {one.name: one.read_bytes() for one in tmp_path.iterdir()}


def test_what_was_noted_in_another_folder_is_not_taken_for_handed_over(tmp_path: Path, bundle: Any) -> None:
    root, progress = tmp_path / "mounted", Kept()
    sink = make_sink("folder", {"path": str(root), "consume": True})
    sink.deliver(bundle().delivery(), progress)
    root.rename(tmp_path / "unmounted")
    root.mkdir()

    with pytest.raises(Retryable, match="is its disk mounted"):
        sink.deliver(bundle().delivery(), progress)
    assert [] == list(root.iterdir())

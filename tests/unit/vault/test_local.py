"""The local vault: whole or not there, and never the wrong bytes to a reader."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from webhook_svc.core.errors import ArtifactLost, Retryable
from webhook_svc.core.types import Artifact
from webhook_svc.vault.local import LocalVault

CONTENT = bytes(range(256)) * 4000


def put(vault: LocalVault, content: bytes = CONTENT) -> Artifact:
    with vault.writer() as writer:
        for start in range(0, len(content), 100_000):
            writer.write(content[start : start + 100_000])
        return writer.commit()


def path_of(root: Path, artifact: Artifact) -> Path:
    return root / "sha256" / artifact.sha256[:2] / artifact.sha256


def read(vault: LocalVault, artifact: Artifact) -> bytes:
    with vault.open(artifact) as stored:
        return stored.read()


def files_below(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.is_file()]


@pytest.fixture
def vault(tmp_path: Path) -> LocalVault:
    return LocalVault(tmp_path / "vault")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.mark.parametrize("content", [CONTENT, b"", b"x"])
def test_what_goes_in_comes_out_under_its_hash(vault: LocalVault, root: Path, content: bytes) -> None:
    artifact = put(vault, content)
    assert Artifact(sha256=hashlib.sha256(content).hexdigest(), size=len(content)) == artifact
    assert content == read(vault, artifact)
    assert vault.has(artifact.sha256) is True
    assert [artifact.sha256] == files_below(root)


def test_data_is_synced_before_the_name_and_the_name_before_commit_returns(
    vault: LocalVault, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        done.append(f"sync {path.relative_to(root.parent) if path.is_dir() else 'data'}")
        fsync(handle)

    def recorded_replace(source: str, target: str) -> None:
        replace(source, target)
        done.append("name")

    put(vault, b"other")
    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    folder = f"sync vault/sha256/{put(vault).sha256[:2]}"
    done.append("commit")
    assert ["sync data", "name", folder, "sync vault/sha256", "commit"] == done
    done.clear()
    put(vault)
    assert ["sync data", "name", folder] == done


def test_leaving_without_commit_leaves_nothing(vault: LocalVault, root: Path) -> None:
    with vault.writer() as writer:
        writer.write(b"abc")
    with pytest.raises(KeyError), vault.writer() as writer:
        raise KeyError
    assert [] == files_below(root)


def test_the_same_bytes_twice_are_one_object_of_the_later_time(vault: LocalVault, root: Path) -> None:
    first = put(vault)
    os.utime(path_of(root, first), (1000, 1000))
    assert first == put(vault)
    assert [first.sha256] == files_below(root)
    assert [] == list(vault.older(2000))


def test_a_reader_is_not_disturbed_by_the_same_bytes_coming_again(vault: LocalVault) -> None:
    with vault.open(put(vault)) as stored:
        begun = stored.read(1)
        put(vault)
        assert CONTENT == begun + stored.read()


class TestFormerPlace:
    """Objects that an earlier version stored, each in a folder of its own."""

    @pytest.fixture
    def artifact(self, vault: LocalVault, root: Path) -> Artifact:
        artifact = put(vault)
        path = path_of(root, artifact)
        (path.parent / artifact.sha256[2:4]).mkdir()
        path.rename(path.parent / artifact.sha256[2:4] / artifact.sha256)
        return artifact

    def test_is_read_and_listed(self, vault: LocalVault, artifact: Artifact) -> None:
        assert (True, CONTENT) == (vault.has(artifact.sha256), read(vault, artifact))
        assert [artifact.sha256] == list(vault.older(time.time() + 60))

    def test_is_discarded(self, vault: LocalVault, root: Path, artifact: Artifact) -> None:
        vault.discard(artifact.sha256)
        assert (False, []) == (vault.has(artifact.sha256), files_below(root))

    def test_is_left_when_the_bytes_come_again(self, vault: LocalVault, root: Path, artifact: Artifact) -> None:
        put(vault)
        assert [artifact.sha256] == files_below(root)
        assert path_of(root, artifact).is_file()


def test_many_writers_of_the_same_bytes_do_not_disturb_each_other(vault: LocalVault, root: Path) -> None:
    found: list[Artifact] = []
    threads = [threading.Thread(target=lambda: found.append(put(vault))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (8, 1) == (len(found), len(set(found)))
    assert [found[0].sha256] == files_below(root)


@pytest.mark.parametrize("damaged", [CONTENT[:-1] + b"?", CONTENT[:-1], CONTENT + b"x", b""])
def test_a_damaged_object_is_replaced_when_its_bytes_come_again(vault: LocalVault, root: Path, damaged: bytes) -> None:
    artifact = put(vault)
    path_of(root, artifact).write_bytes(damaged)
    put(vault)
    assert CONTENT == read(vault, artifact)


def test_a_missing_object_is_lost(vault: LocalVault) -> None:
    artifact = put(vault)
    vault.discard(artifact.sha256)
    vault.discard(artifact.sha256)
    assert vault.has(artifact.sha256) is False
    with pytest.raises(ArtifactLost):
        vault.open(artifact)


@pytest.mark.parametrize("damaged", [CONTENT[:-1], CONTENT + b"x", b""])
def test_an_object_of_another_size_is_lost_before_a_byte_is_read(vault: LocalVault, root: Path, damaged: bytes) -> None:
    artifact = put(vault)
    path_of(root, artifact).write_bytes(damaged)
    with pytest.raises(ArtifactLost):
        vault.open(artifact)


@pytest.mark.parametrize("place", [0, len(CONTENT) // 2, len(CONTENT) - 1])
@pytest.mark.parametrize("step", [1000, 65536, 300_000, -1])
def test_no_reader_gets_the_last_byte_of_wrong_bytes(vault: LocalVault, root: Path, place: int, step: int) -> None:
    artifact = put(vault)
    spoiled = bytearray(CONTENT)
    spoiled[place] ^= 1
    path_of(root, artifact).write_bytes(spoiled)
    got: list[bytes] = []
    with vault.open(artifact) as stored, pytest.raises(ArtifactLost):
        got.extend(iter(lambda: stored.read(step), b""))
    assert len(b"".join(got)) < len(CONTENT)


def test_an_object_that_shrinks_while_it_is_read_is_lost(vault: LocalVault, root: Path) -> None:
    artifact = put(vault)
    with vault.open(artifact) as stored:
        stored.read(1)
        os.truncate(path_of(root, artifact), 300_000)
        with pytest.raises(ArtifactLost):
            stored.read()


def test_unreadable_sectors_make_an_object_lost(vault: LocalVault, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = put(vault)

    class Broken:
        def __init__(self, raw: Any) -> None:
            self.raw = raw

        def readinto(self, _: Any) -> int:
            raise OSError(errno.EIO, "Input/output error")

        def close(self) -> None:
            self.raw.close()

    with vault.open(artifact) as stored:
        monkeypatch.setattr(stored.raw, "_raw", Broken(stored.raw._raw))  # type: ignore[attr-defined]
        with pytest.raises(ArtifactLost):
            stored.read()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("act", ["write", "fsync", "replace"])
def test_a_full_or_failing_disk_is_retryable_and_leaves_nothing(
    vault: LocalVault, root: Path, monkeypatch: pytest.MonkeyPatch, code: int, act: str
) -> None:
    put(vault, b"folders are there")

    def fail(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, act, fail)
        with pytest.raises(Retryable, match=os.strerror(code)):
            put(vault)
    assert 1 == len(files_below(root))
    assert CONTENT == read(vault, put(vault))


def test_the_kernel_refusing_more_bytes_is_retryable(tmp_path: Path) -> None:
    script = f"""
import resource, signal
from pathlib import Path
from webhook_svc.core.errors import Retryable
from webhook_svc.vault.local import LocalVault
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
try:
    with LocalVault(Path({str(tmp_path)!r})).writer() as writer:
        for _ in range(3):
            writer.write(b"x" * 100_000)
        writer.commit()
except Retryable as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "vault: File too large" == run.stdout.strip()
    assert [] == files_below(tmp_path)


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_disk(vault: LocalVault) -> None:
    with pytest.raises(ConnectionResetError), vault.writer():
        raise ConnectionResetError


def test_a_folder_that_is_deleted_under_a_running_process_is_made_again(vault: LocalVault, root: Path) -> None:
    artifact = put(vault)
    vault.discard(artifact.sha256)
    path_of(root, artifact).parent.rmdir()
    assert CONTENT == read(vault, put(vault))


def test_only_what_dead_writers_left_is_cleaned(vault: LocalVault, root: Path) -> None:
    artifact = put(vault)
    left = root / "tmp" / ".dead.part"
    left.write_bytes(b"half")
    os.utime(left, (1000, 1000))
    with vault.writer() as writer:
        writer.write(CONTENT)
        assert 1 == vault.clean(before=2000)
        assert artifact == writer.commit()
    assert 0 == vault.clean(before=2000)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_hash_is_a_name(vault: LocalVault, name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        vault.has(name)


def test_a_vault_on_a_shared_volume_says_so(tmp_path: Path) -> None:
    assert [False, True] == [LocalVault(tmp_path).shared, LocalVault(tmp_path, shared=True).shared]

"""Files that are whole or not there, and names out of foreign text."""

import errno
import hashlib
import os
import random
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.names import disposition_name, safe_name
from webhook_svc.files import CHUNK, LARGE, Tree, new_file, remove_stale


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced, in order."""
    done: list[str] = []
    fsync = os.fsync

    def recorded_fsync(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        done.append(f"sync {'folder ' + Path(path).name if Path(path).is_dir() else 'data'}")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    return done


def test_a_file_has_no_name_until_it_is_given_one_and_none_that_is_temporary_at_the_end(tmp_path: Path) -> None:
    with new_file(tmp_path) as file:
        file.write(b"one")
        file.write(b"two")
        assert [file.temp] == [str(path) for path in tmp_path.iterdir()]
        file.link(tmp_path / "a.pdf")
    assert {"a.pdf": b"onetwo"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_every_level_of_a_tree_is_synced_once_by_each_process(tmp_path: Path, acts: list[str]) -> None:
    (tmp_path / "ab").mkdir()
    tree = Tree(tmp_path)
    tree.make(f"{tmp_path}/ab/cd")
    assert [] == acts
    for _ in range(2):
        tree.sync(f"{tmp_path}/ab/cd")
    above = [f"sync folder {tmp_path.name}", f"sync folder {tmp_path.parent.name}"]
    assert ["sync folder cd", "sync folder ab", *above, "sync folder cd"] == acts


def test_a_folder_that_had_to_be_made_again_is_synced_again(tmp_path: Path, acts: list[str]) -> None:
    tree = Tree(tmp_path)
    tree.sync(tree.root)
    acts.clear()
    for _ in range(2):
        tree.make(f"{tmp_path}/ab")
        tree.sync(f"{tmp_path}/ab")
        (tmp_path / "ab").rmdir()
    assert ["sync folder ab", f"sync folder {tmp_path.name}"] * 2 == acts


def test_no_folder_counts_as_known_before_all_above_it_are_on_disk(
    tmp_path: Path, acts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path)
    tree.make(f"{tmp_path}/ab/cd")
    with monkeypatch.context() as broken:
        broken.setattr(os, "open", _failing(os.open, tmp_path))
        with pytest.raises(OSError, match="no more files"):
            tree.sync(f"{tmp_path}/ab/cd")
    acts.clear()
    tree.sync(f"{tmp_path}/ab/cd")

    assert ["sync folder cd", "sync folder ab", f"sync folder {tmp_path.name}"] == acts[:3]


def _failing(opening: Callable[..., int], at: Path) -> Callable[..., int]:
    def opened(path: str, *arguments: Any, **options: Any) -> int:
        if path == str(at):
            raise OSError(errno.EMFILE, "no more files")
        return opening(path, *arguments, **options)

    return opened


def test_what_the_root_stands_in_is_synced_once_for_whoever_made_it_may_have_died(
    tmp_path: Path, acts: list[str]
) -> None:
    tree = Tree(tmp_path)
    for _ in range(2):
        tree.sync(str(tmp_path))

    here, above = f"sync folder {tmp_path.name}", f"sync folder {tmp_path.parent.name}"
    assert [here, above, here] == acts


def test_a_folder_that_stands_is_found_also_where_the_system_judges_the_rights_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_folder: str) -> None:
        raise PermissionError(errno.EACCES, "permission denied")

    (tmp_path / "ab").mkdir()
    monkeypatch.setattr(os, "mkdir", refused)

    assert not Tree(tmp_path).make(f"{tmp_path}/ab")
    with pytest.raises(PermissionError):
        Tree(tmp_path).make(f"{tmp_path}/cd")


def test_a_root_behind_a_link_is_where_the_system_finds_it(tmp_path: Path) -> None:
    (tmp_path / "releases" / "42").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/42")
    Tree(tmp_path / "current" / ".." / "vault").make(f"{tmp_path}/current/../vault")

    assert (tmp_path / "releases" / "vault").is_dir()
    assert f"{tmp_path}/current/../vault" == Tree(tmp_path / "current" / ".." / "vault").root


def test_a_root_that_had_to_be_made_is_on_disk_at_once(tmp_path: Path, acts: list[str]) -> None:
    root = tmp_path / "mnt" / "archive"
    Tree(root).make(f"{root}/2026")
    assert [f"sync folder {tmp_path.name}", "sync folder mnt"] == acts


def test_what_stands_there_is_never_overwritten_and_no_temporary_file_stays(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"first")
    with new_file(tmp_path) as file:
        file.write(b"second")
        with pytest.raises(FileExistsError):
            file.link(tmp_path / "a.pdf")
    assert [b"first"] == [path.read_bytes() for path in tmp_path.iterdir()]


@pytest.mark.parametrize("size", [4, LARGE + 1])
def test_an_error_while_it_is_written_leaves_no_file_and_no_thread(tmp_path: Path, size: int) -> None:
    def act() -> None:
        with new_file(tmp_path) as file:
            file.write(bytes(size))
            raise ConnectionResetError

    before = threading.active_count()
    with pytest.raises(ConnectionResetError):
        act()
    assert ([], before) == (list(tmp_path.iterdir()), threading.active_count())


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, LARGE + 20_000_000])
def test_a_file_knows_the_hash_of_what_was_written_and_of_what_was_copied(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    with new_file(tmp_path) as written, new_file(tmp_path) as copied:
        for start in range(0, size, CHUNK):
            written.write(content[start : start + CHUNK])
        copied.write(b"what did not go well")
        copied.clear()
        copied.copy(written.temp)
        assert [True, True] == [one.holds(size, hashlib.sha256(content).hexdigest()) for one in (written, copied)]
        assert content == Path(copied.temp).read_bytes()


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel's own limit on file size stands in for the full disk: it cuts a write short, then refuses."""
    script = f"""
import resource, signal
from pathlib import Path
from webhook_svc.files import new_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with new_file(Path({str(tmp_path)!r})) as file:
        file.write(b"x" * 1500)
except OSError as error:
    print(error.errno)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert str(errno.EFBIG) == run.stdout.strip()
    assert [] == list(tmp_path.iterdir())


def test_only_old_temporary_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "kept.pdf").write_bytes(b"")
    (tmp_path / ".old.part").write_bytes(b"")
    os.utime(tmp_path / ".old.part", (1000, 1000))
    with new_file(tmp_path) as file:
        assert 1 == remove_stale(tmp_path, before=2000)
        assert {os.path.basename(file.temp), "kept.pdf"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("contract.pdf", "contract.pdf"),
        ("계약서 최종.pdf", unicodedata.normalize("NFD", "계약서 최종.pdf")),
        ("👩‍👩‍👧 party 🎉.pdf", "👩‍👩‍👧 party 🎉.pdf"),
        ("a X-Evil_ 1.pdf", "a\r\nX-Evil: 1.pdf"),
        ("_.._etc_passwd", "../../etc/passwd"),
        ("C__temp_x.pdf", "C:\\temp\\x.pdf"),
        ("hidden", ".hidden"),
        ("unnamed", ""),
        ("unnamed", "..."),
        ("unnamed", " \t\x00 "),
        ("_con.pdf", "con.pdf"),
        ("_NUL", "NUL"),
        ("_lpt1.tar.gz", "lpt1.tar.gz"),
        ("console.pdf", "console.pdf"),
        ("report", "report. . "),
        ("fdp.exe", "\u202efdp.exe"),
        ("ab", "a\ud800b"),
        ("a_b_c_d_e_f.pdf", 'a*b?c"d<e>f.pdf'),
    ],
)
def test_a_safe_name_keeps_what_people_read_and_drops_what_harms(expected: str, text: str) -> None:
    assert expected == safe_name(text)


def test_a_name_of_300_characters_is_cut_by_bytes_and_keeps_its_extension() -> None:
    name = safe_name("계" * 300 + ".pdf")
    assert "계" * 58 + ".pdf" == name  # 58 * 3 + 4 = 178 of 180 bytes: a 59th would not fit


@given(st.text(max_size=400), st.integers(min_value=24, max_value=200))
def test_a_safe_name_is_always_one_harmless_segment(text: str, limit: int) -> None:
    name = safe_name(text, limit)
    assert 0 < len(name.encode()) <= limit
    assert not set(name) & set('/\\:*?"<>|\r\n\x00')
    assert name == name.strip(" ").lstrip(".").rstrip(".")
    assert name == safe_name(name, limit)


@pytest.mark.parametrize(
    ("expected", "header"),
    [
        ("", ""),
        ("", "inline"),
        ("", "attachment; filename="),
        ("a.pdf", "attachment; filename=a.pdf"),
        ("a;b.pdf", 'attachment; filename="a;b.pdf"'),
        ('say "hi".pdf', r'attachment; filename="say \"hi\".pdf"'),
        ("계약.pdf", "attachment; filename=x.pdf; filename*=UTF-8''%EA%B3%84%EC%95%BD.pdf"),
        ("£.pdf", "attachment; filename*=iso-8859-1'en'%A3.pdf"),
        ("x.pdf", "attachment; filename*=UTF-8''%FF%FE; filename=x.pdf"),
        ("x.pdf", "attachment; filename*=klingon''%41.pdf; filename=x.pdf"),
        ("계약.pdf", 'attachment; filename="계약.pdf"'.encode().decode("latin-1")),
        ("계약.pdf", 'attachment; filename="%EA%B3%84%EC%95%BD.pdf"'),
        ("passwd", 'attachment; filename="../../etc/passwd"'),
        ("x.pdf", r'attachment; filename="C:\dir\x.pdf"'),
        ("real.pdf", 'attachment; note="; filename=evil.exe"; FILENAME = real.pdf'),
        ("first.pdf", "attachment; filename=first.pdf; filename=second.pdf"),
        ("a.pdf", 'attachment; filename="a.pdf'.replace('"', "")),
    ],
)
def test_the_file_name_of_a_content_disposition(expected: str, header: str) -> None:
    assert expected == disposition_name(header)


@given(st.text(max_size=300))
def test_no_content_disposition_breaks_the_reader(header: str) -> None:
    assert "/" not in disposition_name("attachment; filename=" + header)

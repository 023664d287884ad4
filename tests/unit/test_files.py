"""Files that are whole or not there, and names out of foreign text."""

import errno
import os
import subprocess
import sys
import unicodedata
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_svc.core.names import disposition_name, safe_name
from webhook_svc.files import make_folder, new_file, remove_stale, write_whole


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced and linked, in order."""
    done: list[str] = []
    fsync, link = os.fsync, os.link

    def recorded_fsync(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        done.append(f"sync {'folder ' + Path(path).name if Path(path).is_dir() else 'data'}")
        fsync(handle)

    def recorded_link(source: Path, target: Path) -> None:
        done.append(f"link {Path(target).name}")
        link(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "link", recorded_link)
    return done


def test_data_is_synced_then_linked_then_the_folder_is_synced(tmp_path: Path, acts: list[str]) -> None:
    write_whole(tmp_path / "a.pdf", [b"one", b"two"])
    assert ["sync data", "link a.pdf", f"sync folder {tmp_path.name}"] == acts
    assert b"onetwo" == (tmp_path / "a.pdf").read_bytes()


def test_a_new_folder_is_synced_in_its_parent_before_anything_is_linked_into_it(
    tmp_path: Path, acts: list[str]
) -> None:
    write_whole(tmp_path / "2026" / "11" / "a.pdf", BytesIO(b"x"))
    top = tmp_path.name
    assert [f"sync folder {top}", "sync folder 2026", "sync data", "link a.pdf", "sync folder 11"] == acts


def test_a_folder_that_another_process_made_is_synced_once_more_by_us(tmp_path: Path, acts: list[str]) -> None:
    (tmp_path / "ab" / "cd").mkdir(parents=True)
    settled = {str(tmp_path)}
    make_folder(tmp_path / "ab" / "cd", settled)
    make_folder(tmp_path / "ab" / "cd", settled)
    assert [f"sync folder {tmp_path.name}", "sync folder ab"] == acts


def test_what_stands_there_is_never_overwritten_and_no_temporary_file_stays(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"first")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a.pdf", [b"second"])
    assert [b"first"] == [path.read_bytes() for path in tmp_path.iterdir()]


def test_a_failing_reader_leaves_nothing(tmp_path: Path) -> None:
    def broken():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        write_whole(tmp_path / "a.pdf", broken())
    assert [] == list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel's own limit on file size stands in for the full disk: it cuts a write short, then refuses."""
    script = f"""
import resource, signal
from pathlib import Path
from webhook_svc.files import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(Path({str(tmp_path)!r}) / "a.pdf", [b"x" * 1500])
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
        assert {file.temp.name, "kept.pdf"} == {path.name for path in tmp_path.iterdir()}


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

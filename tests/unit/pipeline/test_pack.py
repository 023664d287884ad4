"""The zip of a bundle: one that everybody can read, and the same bytes on every machine and every Python."""

import io
import shutil
import subprocess
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from struct import unpack
from zipfile import ZipFile

import pytest

from webhook_svc.core.errors import ArtifactLost, Permanent
from webhook_svc.core.types import Part
from webhook_svc.pipeline.pack import File, archive, read_zip, zipped

MOMENT = datetime(2026, 11, 22, 17, 45, 31, tzinfo=UTC)
CONTENT = {"Deed.pdf": b"%PDF deed", "Größe 계약.pdf": b"%PDF cert", "empty.txt": b""}
MEMBERS = tuple(
    Part(kind="document", name=name, sha256=sha256(content).hexdigest(), size=len(content))
    for name, content in CONTENT.items()
)
MANIFEST = b'{"document": "d1"}\n'
KINDS = {"plain": 0xFFFF_FFFE, "large files": 8, "files behind 4 GB": 60, "all of it": 1}
"""What the writer takes for the most that four bytes can say, so that small zips have every shape of a large one."""
READERS = [
    pytest.param(words, marks=pytest.mark.skipif(not shutil.which(words[0]), reason=f"{words[0]} is not installed"))
    for words in (("unzip", "-tqq"), ("7zz", "t"))
]


def opened(part: Part) -> io.BytesIO:
    return io.BytesIO(CONTENT[part.name])


def written(most: int = KINDS["plain"], moment: datetime = MOMENT) -> bytes:
    files = [File(name=name, size=len(content), open=partial(io.BytesIO, content)) for name, content in CONTENT.items()]
    return b"".join(archive(files, moment, most))


def test_the_bytes_of_a_zip_never_change() -> None:
    """Deliveries that wait have promised them: with other bytes they would be given up."""
    expected = "9d92283b25571c73489a020e44f0d7d44ad8804843d850db8b32ad5674a50481"
    made = zipped("Deed.zip", MEMBERS, MANIFEST, MOMENT, opened)

    assert (expected, 523) == (made.sha256, made.size)
    assert expected == sha256(read_zip(made, MEMBERS, MANIFEST, MOMENT, opened).read()).hexdigest()


@pytest.mark.parametrize("most", KINDS.values(), ids=KINDS)
def test_a_zip_holds_its_files_with_their_names_and_time(most: int) -> None:
    with ZipFile(io.BytesIO(written(most))) as found:
        assert found.testzip() is None
        assert CONTENT == {one.filename: found.read(one) for one in found.infolist()}
        assert [(2026, 11, 22, 17, 45, 30)] * 3 == [one.date_time for one in found.infolist()]
        assert [0o100644] * 3 == [one.external_attr >> 16 for one in found.infolist()]


@pytest.mark.parametrize("reader", READERS)
def test_other_programs_find_every_kind_of_zip_sound(reader: tuple[str, ...], tmp_path: Path) -> None:
    for kind, most in KINDS.items():
        (tmp_path / f"{kind}.zip").write_bytes(written(most))
    done = [subprocess.run([*reader, path], capture_output=True, check=False) for path in tmp_path.iterdir()]

    assert [(0, b"")] * len(KINDS) == [(one.returncode, one.stderr) for one in done]


def test_an_ordinary_zip_has_nothing_of_zip64() -> None:
    plain = written()

    assert (b"PK\5\6", 3) == unpack("<4s6xH10x", plain[-22:])
    assert b"PK\6\6" not in plain
    assert {20} == {one.extract_version for one in ZipFile(io.BytesIO(plain)).infolist()}


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (datetime(1969, 7, 20, tzinfo=UTC), (1980, 1, 1, 0, 0, 0)),
        (datetime(5138, 11, 16, tzinfo=UTC), (2107, 12, 31, 23, 59, 58)),
    ],
)
def test_a_time_that_a_zip_cannot_tell_becomes_the_nearest(moment: datetime, told: tuple[int, ...]) -> None:
    assert told == ZipFile(io.BytesIO(written(moment=moment))).infolist()[0].date_time


def test_what_is_behind_a_file_of_five_gigabytes_is_found(tmp_path: Path) -> None:
    size = 5 * 2**30
    files = [
        File(name="large", size=size, open=io.BytesIO),
        File(name="small", size=4, open=partial(io.BytesIO, b"%PDF")),
    ]
    start, *rest = archive(files, MOMENT)
    path = tmp_path / "sparse.zip"
    with path.open("wb") as sparse:
        sparse.write(start)
        sparse.seek(size, io.SEEK_CUR)
        sparse.writelines(rest)

    with ZipFile(path) as found:
        assert {"large": size, "small": 4} == {one.filename: one.file_size for one in found.infolist()}
        assert b"%PDF" == found.read("small")


@pytest.mark.parametrize("wrong", ["document", "manifest", "time"])
def test_another_zip_than_was_promised_never_leaves_whole_and_is_no_matter_of_fetching_again(wrong: str) -> None:
    size = 2**21
    members = (Part(kind="document", name="large.pdf", sha256="ab" * 32, size=size),)
    made = zipped("Deed.zip", members, MANIFEST, MOMENT, lambda _: io.BytesIO(bytes(size)))
    manifest = MANIFEST.upper() if wrong == "manifest" else MANIFEST
    moment = MOMENT.replace(minute=0) if wrong == "time" else MOMENT
    filling = b"x" if wrong == "document" else b"\0"
    stream = read_zip(made, members, manifest, moment, lambda _: io.BytesIO(filling * size))
    got: list[bytes] = []
    with pytest.raises(Permanent, match=r"the zip Deed\.zip made now is not the one that this delivery promised"):
        got.extend(iter(partial(stream.read, 2**16), b""))

    assert 2**20 < sum(map(len, got)) < made.size
    assert b"PK\1\2" not in b"".join(got)


def test_a_member_that_the_vault_lost_is_a_matter_of_fetching_again() -> None:
    made = zipped("Deed.zip", MEMBERS, MANIFEST, MOMENT, opened)

    with pytest.raises(ArtifactLost):
        read_zip(made, MEMBERS, MANIFEST, MOMENT, lost).read()


def lost(part: Part) -> io.BytesIO:
    raise ArtifactLost(part.name)

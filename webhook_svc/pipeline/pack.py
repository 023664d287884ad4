"""One zip of a bundle, made anew whenever it is read: the same bytes every time, and nothing is stored twice.

Its SHA-256 is promised before it is sent, and what is read is proved against that. So every byte is written here: those
of a library differ from one release to the next. The files are not compressed (a PDF is already).

The numbers of sections are those of PKWARE's APPNOTE.TXT 6.3.6 of 26 April 2019, read on 22 November 2026:
https://pkware.cachefly.net/webdocs/APPNOTE/APPNOTE-6.3.6.TXT
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from struct import pack
from typing import BinaryIO, Final
from zlib import crc32

from ..core.errors import Permanent
from ..core.streams import stream_of
from ..core.types import Part

ZIP: Final = "zip"
"""The kind of a part that is such a zip."""
MANIFEST: Final = "manifest.json"

_CHUNK: Final = 1024 * 1024
_OLDEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_NEWEST: Final = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
_ELSEWHERE: Final = 0xFFFF_FFFF
"""What four bytes say where eight say how many it is."""
_ELSEWHERE_TOO: Final = 0xFFFF
_FLAGS: Final = 1 << 3 | 1 << 11  # 4.4.4: checksum and sizes follow the file; its name is UTF-8
_MADE_BY: Final = 3 << 8 | 45  # 4.4.2: by 4.5 on Unix, whatever the system
_READABLE: Final = 0o100644 << 16  # 4.4.15: a plain file that all may read

Open = Callable[[Part], BinaryIO]


def zipped(name: str, members: Sequence[Part], manifest: bytes, moment: datetime, open_: Open) -> Part:
    """What the zip will be, found by making it once. Raises what `open_` raises."""
    found, size = hashlib.sha256(), 0
    for chunk in archive(_files(members, manifest, open_), moment):
        found.update(chunk)
        size += len(chunk)
    return Part(kind=ZIP, name=name, sha256=found.hexdigest(), size=size, content_type="application/zip")


def read_zip(promised: Part, members: Sequence[Part], manifest: bytes, moment: datetime, open_: Open) -> BinaryIO:
    """A stream of the zip. Where it is another one than was promised, Permanent is raised instead of its last bytes:
    that its members are fetched again would not help."""
    made = archive(_files(members, manifest, open_), moment)
    return stream_of(_proved(made, promised))


def _files(members: Sequence[Part], manifest: bytes, open_: Open) -> Iterator["File"]:
    for part in members:
        yield File(name=part.name, size=part.size, open=partial(open_, part))
    yield File(name=MANIFEST, size=len(manifest), open=partial(BytesIO, manifest))


def _proved(chunks: Iterator[bytes], promised: Part) -> Iterator[bytes]:
    found, last = hashlib.sha256(), b""
    for chunk in chunks:
        yield last
        found.update(chunk)
        last = chunk
    if found.hexdigest() != promised.sha256:
        raise Permanent(f"the zip {promised.name} made now is not the one that this delivery promised")
    yield last


# --- the format ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to be archived. `size` is what `open` streams, in bytes."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


def archive(files: Iterable[File], moment: datetime, most: int = _ELSEWHERE - 1) -> Iterator[bytes]:
    """The bytes of a zip. All files are of the `moment`, or of the nearest that a zip can tell, in UTC.

    Sizes and offsets above `most` are written as zip64.
    """
    when = _when(moment)
    headers, at = [], 0
    for file in files:
        entry = _Entry(name=file.name.encode(), size=file.size, offset=at, when=when, most=most)
        start = entry.local_header()
        yield start
        crc = 0
        with file.open() as stream:
            while chunk := stream.read(_CHUNK):
                crc = crc32(chunk, crc)
                yield chunk
        end = entry.descriptor(crc)
        yield end
        headers.append(entry.central_header(crc))
        at += len(start) + file.size + len(end)
    directory = b"".join(headers)
    yield directory + _end(len(headers), len(directory), at, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A file as its archive describes it. `when` is its time in the four bytes of 4.4.6."""

    name: bytes
    size: int
    offset: int
    when: bytes
    most: int

    def local_header(self) -> bytes:
        """4.3.7."""
        extra, size = (pack("<2H2Q", 1, 16, 0, 0), _ELSEWHERE) if self._wide else (b"", 0)
        sizes = pack("<3I2H", 0, size, size, len(self.name), len(extra))
        return b"PK\3\4" + self._common() + sizes + self.name + extra

    def descriptor(self, crc: int) -> bytes:
        """4.3.9: eight bytes a size where the local header has a zip64 field."""
        return pack("<4sI2Q" if self._wide else "<4s3I", b"PK\7\x08", crc, self.size, self.size)

    def central_header(self, crc: int) -> bytes:
        """4.3.12, with a zip64 field (4.5.3) for what has no room."""
        values = (self.size, self.size, self.offset)
        wide = [value for value in values if value > self.most]
        extra = pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        size, _, offset = (_short(value, self.most) for value in values)
        lengths = pack("<3I3H", crc, size, size, len(self.name), len(extra), 0)
        rest = pack("<2H2I", 0, 0, _READABLE, offset)
        return b"PK\1\2" + pack("<H", _MADE_BY) + self._common() + lengths + rest + self.name + extra

    @property
    def _wide(self) -> bool:
        return self.size > self.most

    def _common(self) -> bytes:
        """What can read it (4.4.3), how it is written and when."""
        needed = 45 if max(self.size, self.offset) > self.most else 20
        return pack("<3H", needed, _FLAGS, 0) + self.when


def _end(count: int, size: int, offset: int, most: int) -> bytes:
    """4.3.16, and 4.3.14 and 15 before it where a number has no room."""
    wide = b""
    if count >= _ELSEWHERE_TOO or max(size, offset) > most:
        wide = pack("<4sQ2H2I4Q", b"PK\6\6", 44, _MADE_BY, 45, 0, 0, count, count, size, offset)
        wide += pack("<4sIQI", b"PK\6\7", 0, offset + size, 1)
    number = min(count, _ELSEWHERE_TOO)
    return wide + pack("<4s4H2IH", b"PK\5\6", 0, 0, number, number, _short(size, most), _short(offset, most), 0)


def _short(value: int, most: int) -> int:
    return value if value <= most else _ELSEWHERE


def _when(moment: datetime) -> bytes:
    """4.4.6: to two seconds."""
    at = min(max(moment, _OLDEST), _NEWEST)
    time = at.hour << 11 | at.minute << 5 | at.second // 2
    return pack("<2H", time, (at.year - _OLDEST.year) << 9 | at.month << 5 | at.day)

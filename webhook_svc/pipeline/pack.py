"""One zip of a bundle, made anew whenever it is read: the same bytes every time, and nothing is stored twice.

The files are not compressed (a PDF is already), their time is that of the signing: so the same parts make the same zip,
and whoever delivers it again compares it like any other file.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO, Final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from ..core.types import Part

ZIP: Final = "zip"
"""The kind of a part that is such a zip."""

_CHUNK: Final = 1024 * 1024
_OLDEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
"""Earlier times cannot stand in a zip."""

Open = Callable[[Part], BinaryIO]


def zipped(name: str, members: Sequence[Part], manifest: bytes, completed: float, open_: Open) -> Part:
    """What the zip will be, found by making it once. Raises what `open_` raises."""
    found, size = hashlib.sha256(), 0
    for chunk in _made(members, manifest, completed, open_):
        found.update(chunk)
        size += len(chunk)
    return Part(kind=ZIP, name=name, sha256=found.hexdigest(), size=size, content_type="application/zip")


def read_zip(members: Sequence[Part], manifest: bytes, completed: float, open_: Open) -> BinaryIO:
    """A stream of the zip."""
    return BufferedReader(_Stream(_made(members, manifest, completed, open_)), _CHUNK)


class _Pipe:
    """What a ZipFile writes, until it is taken. It cannot seek: sizes and checksums then follow each file."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, content: Any) -> int:
        self._waiting += content
        return len(content)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


def _made(members: Sequence[Part], manifest: bytes, completed: float, open_: Open) -> Iterator[bytes]:
    pipe = _Pipe()
    with ZipFile(pipe, "w", ZIP_STORED) as archive:  # type: ignore[call-overload]  # it needs no more than this pipe
        for part in members:
            with open_(part) as stream, archive.open(_info(part.name, completed), "w", force_zip64=True) as entry:
                while chunk := stream.read(_CHUNK):
                    entry.write(chunk)
                    yield pipe.take()
        archive.writestr(_info("manifest.json", completed), manifest)
    yield pipe.take()


def _info(name: str, completed: float) -> ZipInfo:
    moment = max(datetime.fromtimestamp(completed, UTC), _OLDEST)
    info = ZipInfo(name, moment.timetuple()[:6])
    info.create_system = 3  # the same on every system: Unix, and a file that all may read
    info.external_attr = 0o100644 << 16
    return info


class _Stream(RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._now = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._now:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._now = memoryview(chunk)
        size = min(len(buffer), len(self._now))
        buffer[:size] = self._now[:size]
        self._now = self._now[size:]
        return size

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close:
            close()
        super().close()

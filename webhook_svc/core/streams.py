"""Bytes that are made as they are asked for, read like a file."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

_BUFFER: Final = 256 * 1024


def stream_of(chunks: Iterator[bytes]) -> BinaryIO:
    """The chunks one after the other; what they raise, a read raises. Closing it closes a generator, and with that what
    it has open."""
    return io.BufferedReader(_Chunks(chunks), _BUFFER)


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._now = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._now:
            following = next(self._chunks, None)
            if following is None:
                return 0
            self._now = memoryview(following)
        size = min(len(buffer), len(self._now))
        buffer[:size] = self._now[:size]
        self._now = self._now[size:]
        return size

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
        super().close()

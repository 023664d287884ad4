"""A request body whose end is held back until it may become visible."""

import io
from collections.abc import Callable
from typing import Any, BinaryIO

from ...files import CHUNK


def held_back(open_: Callable[[], BinaryIO], before_last: Callable[[], None]) -> BinaryIO:
    """The stream of `open_`, whose last bytes leave only after its end was read, and after `before_last`.

    A server makes an object visible with its last byte. So a copy that turns out damaged at its end, or a claim that
    was lost during a long upload, leaves a broken request behind and no object.
    """
    stream = _HeldBack(open_(), before_last)
    try:
        stream.look_ahead()
    except BaseException:
        stream.close()
        raise
    return io.BufferedReader(stream, CHUNK)


class _HeldBack(io.RawIOBase):
    def __init__(self, stream: BinaryIO, before_last: Callable[[], None]) -> None:
        self._stream = stream
        self._before_last = before_last
        self._now = memoryview(b"")
        self._next = b""

    def look_ahead(self) -> None:
        """What was read ahead may leave now; its successor is read, and there may be none."""
        self._now, self._next = memoryview(self._next), self._stream.read(CHUNK)
        if not self._next:
            self._before_last()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._now and self._next:
            self.look_ahead()
        size = min(len(buffer), len(self._now))
        buffer[:size] = self._now[:size]
        self._now = self._now[size:]
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()

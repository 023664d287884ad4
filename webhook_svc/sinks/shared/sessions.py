"""A file in pieces of equal size, for services that take large ones in a session of several requests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from ...files import CHUNK


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes `start` to `end - 1`. It can be sent again: it is held in memory, one at a time."""

    start: int
    content: bytes = field(repr=False)
    last: bool

    @property
    def end(self) -> int:
        return self.start + len(self.content)


def pieces(open_: Callable[[], BinaryIO], size: int, before_last: Callable[[], None]) -> Iterator[Piece]:
    """All are `size` bytes but the last, which comes after the end of the stream was read, and after `before_last`.

    So a copy that turns out damaged at its end (ArtifactLost), or a claim that was lost, leaves the file incomplete.
    """
    with open_() as stream:
        start, content = 0, _read(stream, size)
        while following := _read(stream, size):
            yield Piece(start=start, content=content, last=False)
            start, content = start + len(content), following
        before_last()
        yield Piece(start=start, content=content, last=True)


def _read(stream: BinaryIO, size: int) -> bytes:
    """Exactly that many bytes, fewer at the end."""
    found = bytearray()
    while chunk := stream.read(min(CHUNK, size - len(found))):
        found += chunk
    return bytes(found)

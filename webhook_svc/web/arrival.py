"""A request on its way in: when has all of it arrived, and when is it too large to wait for."""

import re
from collections.abc import Iterator
from typing import Final

from ..core.errors import BodyTooLarge, HeadersTooLarge

HEAD_LIMIT: Final = 64 * 1024
_LINE_LIMIT: Final = 16 * 1024
_PIECE: Final = 1024 * 1024

_LENGTH: Final = re.compile(rb"\r\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_ENCODING: Final = re.compile(rb"\r\ntransfer-encoding:([^\r\n]*)", re.IGNORECASE)
_EXPECT: Final = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_PLAIN_LENGTH: Final = re.compile(rb"[ \t]*([0-9]{1,15})[ \t]*")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class Arrival:
    """Collects bytes until the request is whole; `since` is when it began.

    It judges only where the request ends. What is malformed counts as whole: the server's parser refuses it, and
    reads nothing beyond what is here.
    """

    def __init__(self, limit: int, since: float) -> None:
        self.since = since
        self._limit = limit
        self._data = bytearray()
        self._head = 0  # where the head ends; 0 while it has not
        self._end: int | None = None  # where the request ends, once that is known
        self._next_chunk: int | None = None  # where the next line with a chunk's size begins
        self._decoded = 0
        self._searched = 0
        self._told_to_continue = False

    def __len__(self) -> int:
        return len(self._data)

    @property
    def beginning(self) -> bytes:
        """Enough to see method and source."""
        return bytes(self._data[:200])

    def feed(self, data: bytes) -> bool:
        """Is the request whole now? Raises HeadersTooLarge or BodyTooLarge as soon as that is known."""
        self._data += data
        if not self._head and not self._find_head():
            return False
        if self._next_chunk is not None:
            self._follow_chunks()
        return self._end is not None and len(self._data) >= self._end

    def wants_continue(self) -> bool:
        """True once, where the sender waits for "100 Continue" before it sends the body."""
        if self._told_to_continue or not self._head or not _EXPECT.search(self._data, 0, self._head):
            return False
        self._told_to_continue = True
        return True

    def pieces(self) -> Iterator[bytes]:
        """The request for the parser: the head, then the body piece by piece."""
        head = bytes(self._data[: self._head])
        yield _EXPECT.sub(b"", head, count=1) if self._told_to_continue else head
        for start in range(self._head, self._stop(), _PIECE):
            yield bytes(self._data[start : min(start + _PIECE, self._stop())])

    def rest(self) -> bytes:
        """What was sent behind this request: the beginning of the next."""
        return bytes(self._data[self._stop() :])

    def _stop(self) -> int:
        return len(self._data) if self._end is None else self._end

    def _find_head(self) -> bool:
        if self._data[:2] == b"\r\n":
            del self._data[:2]  # one empty line before a request is allowed
        found = self._data.find(b"\r\n\r\n", max(0, self._searched - 3))
        if _BARE_LF.search(self._data, max(0, self._searched - 1), found if found >= 0 else len(self._data)):
            self._refused_by_parser()
            return True
        self._searched = len(self._data)
        if (found if found >= 0 else len(self._data)) > HEAD_LIMIT:
            raise HeadersTooLarge("headers_too_large")
        if found >= 0:
            self._head = found + 4
            self._frame()
        return found >= 0

    def _frame(self) -> None:
        """Where the body ends, by the head."""
        lengths = _LENGTH.findall(self._data, 0, self._head)
        encodings = _ENCODING.findall(self._data, 0, self._head)
        if not encodings and not lengths:
            self._end = self._head
        elif [each.strip().lower() for each in encodings] == [b"chunked"] and not lengths:
            self._next_chunk = self._head
        elif not encodings and len(lengths) == 1 and (plain := _PLAIN_LENGTH.fullmatch(lengths[0])):
            if int(plain[1]) > self._limit:
                raise BodyTooLarge("body_too_large")
            self._end = self._head + int(plain[1])
        else:
            self._refused_by_parser()

    def _follow_chunks(self) -> None:
        while self._next_chunk is not None and self._next_chunk < len(self._data):
            line_end = self._data.find(b"\r\n", self._next_chunk)
            if line_end < 0:
                if len(self._data) - self._next_chunk > _LINE_LIMIT:
                    self._refused_by_parser()
                return
            size = _CHUNK_SIZE.fullmatch(self._data, self._next_chunk, line_end)
            if size is None:
                self._refused_by_parser()
            elif int(size[1], 16) == 0:
                self._follow_trailers(line_end)
                return
            else:
                self._count(int(size[1], 16))
                self._next_chunk = line_end + 2 + int(size[1], 16) + 2

    def _follow_trailers(self, line_end: int) -> None:
        """From the line of the last chunk on, to an empty line."""
        found = self._data.find(b"\r\n\r\n", line_end)
        if found >= 0:
            self._end, self._next_chunk = found + 4, None
        elif len(self._data) - line_end > _LINE_LIMIT:
            self._refused_by_parser()

    def _count(self, size: int) -> None:
        """Chunks of one byte may take six: what carries them is bounded too."""
        self._decoded += size
        if self._decoded > self._limit or len(self._data) > 2 * self._limit + HEAD_LIMIT:
            raise BodyTooLarge("body_too_large")

    def _refused_by_parser(self) -> None:
        self._head = self._head or len(self._data)
        self._end, self._next_chunk = len(self._data), None

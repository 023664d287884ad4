"""Is it the whole document that was announced? Answered from the bytes as they pass, without opening the file.

Libraries repair what they open: a PDF cut in half opens and reports all its pages. So the two ends are looked at. Of a
ZIP the end is its directory, behind which only a comment may stand.
"""

import hashlib
from collections.abc import Callable
from typing import Final

from ..core.errors import DocumentCheckFailed

_HEAD: Final = 1024
_TAIL: Final = 2048


def _ends_pdf(tail: bytes) -> bool:
    return b"startxref" in tail and b"%%EOF" in tail


def _ends_zip(tail: bytes) -> bool:
    """Does its directory's last record stand there whole, with the comment whose length it names at its end?"""
    record = tail[max(0, tail.rfind(b"PK\x05\x06")) :]
    return record[:4] == b"PK\x05\x06" and len(record) >= 22 + int.from_bytes(record[20:22], "little")


_TYPES: Final = {
    "application/pdf": ("PDF", (b"%PDF-",), _ends_pdf),
    "application/zip": ("ZIP", (b"PK\x03\x04", b"PK\x05\x06"), _ends_zip),
}
"""What a type is called, what its beginning holds one of, whether an end is its end."""


class Check:
    """Sees every chunk once, keeps both ends. `finish` raises DocumentCheckFailed; an empty file always fails."""

    def __init__(self, content_type: str = "", sha256: str | None = None) -> None:
        self._type = _TYPES.get(content_type.partition(";")[0].strip().lower())
        self._wanted = sha256.strip().lower() if sha256 else ""
        self._hash = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._tail = b""

    def update(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._wanted:
            self._hash.update(chunk)
        if self._type:
            self._head += chunk[: _HEAD - len(self._head)]
            self._tail = (self._tail + chunk[-_TAIL:])[-_TAIL:]

    def finish(self) -> None:
        if self._size == 0:
            raise DocumentCheckFailed("the file is empty")
        if self._type:
            self._look_at(*self._type)
        if self._wanted and self._hash.hexdigest() != self._wanted:
            raise DocumentCheckFailed("the file does not have the SHA-256 that the provider names")

    def _look_at(self, kind: str, begins: tuple[bytes, ...], ends: Callable[[bytes], bool]) -> None:
        if not any(mark in self._head for mark in begins):
            raise DocumentCheckFailed(f"a {kind} was announced, and the bytes do not begin like one")
        if not ends(self._tail):
            raise DocumentCheckFailed(f"the {kind} has no end: it was cut off")

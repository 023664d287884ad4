"""Is it the whole document that was announced? Answered from the bytes as they pass, without opening the file.

Libraries repair what they open: a PDF cut in half opens and reports all its pages. So the two ends are looked at.
"""

import hashlib
from typing import Final

from ..core.errors import DocumentCheckFailed

_HEAD: Final = 1024
_TAIL: Final = 2048


class Check:
    """Sees every chunk once, keeps both ends. `finish` raises DocumentCheckFailed; an empty file always fails."""

    def __init__(self, content_type: str = "", sha256: str | None = None) -> None:
        self._pdf = content_type.partition(";")[0].strip().lower() == "application/pdf"
        self._wanted = sha256.strip().lower() if sha256 else ""
        self._hash = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._tail = b""

    def update(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._wanted:
            self._hash.update(chunk)
        if self._pdf:
            self._head += chunk[: _HEAD - len(self._head)]
            self._tail = (self._tail + chunk[-_TAIL:])[-_TAIL:]

    def finish(self) -> None:
        if self._size == 0:
            raise DocumentCheckFailed("the file is empty")
        if self._pdf and b"%PDF-" not in self._head:
            raise DocumentCheckFailed("a PDF was announced, and the bytes do not begin like one")
        if self._pdf and not (b"startxref" in self._tail and b"%%EOF" in self._tail):
            raise DocumentCheckFailed("the PDF has no end: it was cut off")
        if self._wanted and self._hash.hexdigest() != self._wanted:
            raise DocumentCheckFailed("the file does not have the SHA-256 that the provider names")

"""Bytes as they pass: how many at a time, and their hash."""

import hashlib
import queue
import threading
from typing import Final

CHUNK: Final = 256 * 1024
"""Bytes that are read, hashed and written at a time."""

LARGE: Final = 32 * 1024 * 1024
"""From here on a file is large: there are few of them at once, and what a step costs counts more than its memory."""

_LARGE_CHUNK: Final = 1024 * 1024
_AHEAD: Final = 3


def chunk_at(position: int) -> int:
    """Bytes to take at a time from there on."""
    return CHUNK if position < LARGE else _LARGE_CHUNK


class Sha256:
    """A large file is hashed on a thread of its own, while its next bytes come in: at most three chunks wait.

    `update` keeps the chunk, so nobody may change it. Who takes no `hexdigest` must `close`.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._beside: _Beside | None = None

    def update(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._beside is None and self._size > LARGE:
            self._beside = _Beside(self._hash)
        (self._beside or self._hash).update(chunk)

    def hexdigest(self) -> str:
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        if self._beside is not None:
            self._beside.end()
            self._beside = None


class _Beside:
    def __init__(self, hash_: "hashlib._Hash") -> None:
        self._hash = hash_
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
        self._thread.start()

    def update(self, chunk: bytes) -> None:
        self._waiting.put(chunk)

    def end(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (chunk := self._waiting.get()) is not None:
            self._hash.update(chunk)

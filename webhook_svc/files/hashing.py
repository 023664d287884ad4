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
    """Those of a large file are hashed on a thread of their own, while the next come in: at most three chunks wait.

    `update` keeps the chunk, so nobody may change it. Who takes no `hexdigest` must `close`.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._waiting: queue.Queue[bytes] = queue.Queue(_AHEAD)

    def update(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._thread is None and self._size < LARGE:
            self._hash.update(chunk)
        elif chunk:
            self._beside(chunk)

    def hexdigest(self) -> str:
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        if self._thread is not None:
            self._waiting.put(b"")
            self._thread.join()
            self._thread = None

    def _beside(self, chunk: bytes) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
            self._thread.start()
        self._waiting.put(chunk)

    def _work(self) -> None:
        while chunk := self._waiting.get():
            self._hash.update(chunk)

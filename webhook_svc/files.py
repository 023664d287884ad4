"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

CHUNK: Final = 256 * 1024

_TEMP_SUFFIX: Final = ".part"


class NewFile:
    """A temporary file that gets its final name once it is whole. Made by `new_file`."""

    def __init__(self, temp: Path, handle: int) -> None:
        self.temp = temp
        self._handle = handle
        self._dirty = True

    def write(self, chunk: bytes) -> None:
        """All of the chunk, or OSError: the system may take a part of it."""
        self._dirty = True
        left = memoryview(chunk)
        while left:
            left = left[os.write(self._handle, left) :]

    def sync(self) -> None:
        """The bytes are on disk: `place` has little left to do, and can be decided on at the last moment."""
        if self._dirty:
            os.fsync(self._handle)
            self._dirty = False

    def place(self, final: Path, settled: set[str] | None = None) -> None:
        """On disk under its name when this returns. FileExistsError where something stands there: never over it.

        The order is the promise: a name that survives a crash never leads to bytes that did not.
        """
        make_folder(final.parent, settled)
        self.sync()
        os.link(self.temp, final)
        self._done(final)

    def replace(self, final: Path) -> None:
        """Like `place`, over what stands there: for a copy that was found damaged."""
        self.sync()
        os.replace(self.temp, final)
        self._done(final)

    def _done(self, final: Path) -> None:
        self.temp.unlink(missing_ok=True)
        sync_folder(final.parent)


@contextmanager
def new_file(folder: Path, mode: int = 0o600) -> Iterator[NewFile]:
    """A file to write below `folder`, gone again unless it was placed."""
    make_folder(folder)
    temp = folder / f".{secrets.token_hex(8)}{_TEMP_SUFFIX}"
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        yield NewFile(temp, handle)
    finally:
        os.close(handle)
        temp.unlink(missing_ok=True)


def write_whole(path: Path, content: BinaryIO | Iterable[bytes], *, mode: int = 0o640) -> None:
    """The content under that name and on disk, or nothing. FileExistsError where something stands there."""
    with new_file(path.parent, mode) as file:
        for chunk in _chunks(content):
            file.write(chunk)
        file.place(path)


def make_folder(folder: Path, settled: set[str] | None = None) -> None:
    """The folder exists, and so does its name on disk.

    Without `settled`, only folders made here are synced into their parents. With it (seeded with a root) every level
    below the root is, once: another process may have made it a moment ago and not synced it yet.
    """
    if folder.is_dir() and (not settled or str(folder) in settled):
        return
    make_folder(folder.parent, settled)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
    if settled is not None:
        settled.add(str(folder))


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_stale(folder: Path, before: float) -> int:
    """Deletes what killed processes left of `new_file`: temporary files last written before that Unix time."""
    removed = 0
    for temp in folder.glob(f".*{_TEMP_SUFFIX}"):
        try:
            if temp.stat().st_mtime < before:
                temp.unlink()
                removed += 1
        except FileNotFoundError:
            continue  # its owner finished meanwhile
    return removed


def _chunks(content: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    read = getattr(content, "read", None)
    return iter(lambda: read(CHUNK), b"") if read else iter(content)

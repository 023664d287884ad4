"""Files that get their name once they are whole."""

import errno
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .hashing import LARGE, Sha256, chunk_at

WINDOW: Final = LARGE // 2

StrPath = str | os.PathLike[str]

_TEMP_SUFFIX: Final = ".part"
_HERE: Final = -100  # AT_FDCWD
_NOREPLACE: Final = 1


class NewFile:
    """A temporary file on its way to its final name; counts and hashes what is written. Made by `new_file`."""

    def __init__(self, temp: str, handle: int) -> None:
        self.temp = temp
        self.named = False
        self._handle = handle
        self._begin()

    def write(self, chunk: bytes) -> None:
        """All of the chunk, or OSError: the system may take a part of it."""
        left = memoryview(chunk)
        while left:
            left = left[os.write(self._handle, left) :]
        self.hash.update(chunk)
        self.size += len(chunk)
        self._window.move(len(chunk))

    def copy(self, source: StrPath) -> None:
        """All bytes of that file. They pass through here: their hash costs more than carrying them."""
        stored = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            window = Window(stored)
            while chunk := os.read(stored, chunk_at(self.size)):
                self.write(chunk)
                window.move(len(chunk))
        finally:
            os.close(stored)

    def holds(self, size: int, sha256: str) -> bool:
        return (self.size, self.hash.hexdigest()) == (size, sha256)

    def clear(self) -> None:
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        self.hash.close()
        self._begin()

    def sync(self) -> None:
        """The bytes are on disk. Only then a name may lead to them: one that survives a crash never leads to bytes
        that did not."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Nothing more is written: many files may wait for their names, and a process may hold few open."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def link(self, final: StrPath) -> None:
        """Named. FileExistsError where something stands there: never over it.

        ENOTSUP where the file system knows no hard links: that is what EPERM means of a file that we have just made
        (link(2)), and ENOSYS at a mount in user space.
        """
        try:
            os.link(self.temp, final)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS):
                raise
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), os.fspath(final)) from None

    def move(self, final: StrPath) -> None:
        """Named by a rename, which watchers of a folder wait for. FileExistsError where something stands there; a file
        system that cannot promise that (some network mounts) is looked at first."""
        try:
            _rename_to_nothing(self.temp, os.fspath(final))
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
                raise
            if os.path.lexists(final):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(final)) from None
            os.rename(self.temp, final)
        self.named = True

    def replace(self, final: StrPath) -> None:
        """Named, over what stands there."""
        os.replace(self.temp, final)
        self.named = True

    def _begin(self) -> None:
        self.size = 0
        self.hash = Sha256()
        self._window = Window(self._handle)


class Window:
    """What a large file keeps in the cache: what is written goes to disk while the rest still comes, and other files
    are not pushed out. One that is not large stays where it is: it is soon read again."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._start = 0
        self._end = 0

    def move(self, count: int) -> None:
        """So many bytes further, to be called with each chunk."""
        self._end += count
        if self._end - self._start < WINDOW:
            return
        if self._start:
            # The window before this one as well: it was on its way to disk then, and can be dropped only now.
            _let_go(self._handle, max(self._start - WINDOW, 0), self._end)
        self._start = self._end


@contextmanager
def new_file(folder: StrPath, mode: int = 0o600, *, temp: str = "") -> Iterator[NewFile]:
    """A file to write in that folder. Its temporary name (`temp`, where it is given) goes at the end."""
    temp = os.path.join(folder, temp or f".{random.getrandbits(64):016x}{_TEMP_SUFFIX}")
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    file = NewFile(temp, handle)
    try:
        yield file
    finally:
        file.hash.close()
        file.close()
        if not file.named:
            with suppress(FileNotFoundError):
                os.unlink(temp)


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


def _rename_to_nothing(source: str, target: str) -> None:
    """Linux's renameat2(2) with RENAME_NOREPLACE. OSError ENOSYS where the system has no such call."""
    import ctypes  # by those alone who hand files over

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
    if call(_HERE, os.fsencode(source), _HERE, os.fsencode(target), _NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def _let_go(handle: int, start: int, end: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, start, end - start, os.POSIX_FADV_DONTNEED)

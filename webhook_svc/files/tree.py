"""Folders whose names are on disk."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

_KNOWN_LIMIT: Final = 1000


class Tree:
    """A root and the folders below it, as absolute paths. Remembers which of them are on disk by name, so that each is
    synced once.

    Another process may have made one a moment ago and not synced it yet: only what this process has seen to itself
    counts. Threads may share it.
    """

    def __init__(self, root: Path) -> None:
        self.root = os.path.abspath(root)
        self._above = frozenset(map(str, Path(self.root).parents))
        self._known = {self.root}

    def make(self, folder: str) -> bool:
        """The folder exists; nothing is said about the disk yet. True where it was made now: nothing stands in it."""
        try:
            made = _made(folder)
        except FileNotFoundError:
            self.make(os.path.dirname(folder))
            made = _made(folder)
        if made:
            self._known.discard(folder)
        if made and (folder == self.root or folder in self._above):
            _sync(os.path.dirname(folder))
            self._known.add(folder)
        return made

    def within(self, folder: str, act: Callable[[], T]) -> T:
        """What `act` does in the folder, which is made if it turns out not to be there."""
        try:
            return act()
        except FileNotFoundError:
            self.make(folder)
            return act()

    def sync(self, folder: str) -> None:
        """The names in the folder are on disk, and its own, up to the root."""
        _sync(folder)
        if len(self._known) > _KNOWN_LIMIT:
            self._known = {self.root}
        while folder not in self._known:
            above = os.path.dirname(folder)
            _sync(above)
            self._known.add(folder)
            folder = above


def _made(folder: str) -> bool:
    """False where something has that name: a file shows itself when it is used as a folder."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return False
    return True


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Folders whose names are on disk."""

import os
from pathlib import Path
from typing import Final

_KNOWN_LIMIT: Final = 1000


class Tree:
    """A root and the folders below it. Remembers which of them are on disk by name, so that each is synced once.

    Another process may have made one a moment ago and not synced it yet: only what this process has seen to itself
    counts. Threads may share it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known = {str(root)}

    def make(self, folder: Path) -> None:
        """The folder exists; nothing is said about the disk yet."""
        if folder.is_dir():
            return
        self.make(folder.parent)
        folder.mkdir(exist_ok=True)
        self._known.discard(str(folder))
        if folder == self.root or folder in self.root.parents:
            _sync(folder.parent)
            self._known.add(str(folder))

    def sync(self, folder: Path) -> None:
        """The names in the folder are on disk, and its own, up to the root."""
        _sync(folder)
        if len(self._known) > _KNOWN_LIMIT:
            self._known = {str(self.root)}
        while str(folder) not in self._known:
            _sync(folder.parent)
            self._known.add(str(folder))
            folder = folder.parent


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

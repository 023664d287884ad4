"""Folders whose names are on disk."""

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

_KNOWN_LIMIT: Final = 1000


class Tree:
    """A root and the folders below it, as absolute paths. Remembers which of them are on disk by name, so that each is
    synced once.

    Another process may have made one a moment ago and not synced it yet, and may have died before it did: only what
    this process has seen to itself counts. Threads may share it.
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root.absolute())  # as written: behind a link `..` leads elsewhere than the text says
        self._above = frozenset(map(str, Path(self.root).parents))
        self._known: set[str] = set()

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
            self._known = set()
        fresh = list(self._fresh(folder))
        for one in fresh:
            self._sync_above(one)
        self._known.update(fresh)  # together: if one level fails, or another thread asks meanwhile, none is known yet

    def _fresh(self, folder: str) -> Iterator[str]:
        """It and those above, up to the root, as far as nothing is known of them."""
        while folder not in self._known:
            yield folder
            if folder == self.root:
                return
            folder = os.path.dirname(folder)

    def _sync_above(self, folder: str) -> None:
        """What the root stands in may be nobody's business but the administrator's."""
        with suppress(PermissionError) if folder == self.root else nullcontext():
            _sync(os.path.dirname(folder))


def _made(folder: str) -> bool:
    """False where something has that name: a file shows itself when it is used as a folder."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return False
    except OSError:
        if os.path.isdir(folder):  # not every system looks for the name before it judges the rights
            return False
        raise
    return True


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The memory of files that somebody takes away as soon as they have their name."""

import os
from collections.abc import Collection, Mapping
from contextlib import suppress

from ...core.errors import Retryable
from ...core.ports import Progress


class Handover:
    """Kept in the delivery's progress: the temporary name under which each file stood, on disk, before it was renamed.

    A rename takes the one name away as it gives the other. So what was noted and is gone had its name, whether it still
    stands there or not; what was noted and is there never had it. Hence a note is taken back before its file is.
    That holds in the same folder only: where a disk is not mounted, everything is gone.
    """

    def __init__(self, progress: Progress, root: str) -> None:
        """`root` is the sink's folder."""
        self._progress = progress
        self._root = root
        state = progress.load()
        self._noted = dict(state.get("temporary", {}))
        self._inode = state.get("inode")

    def named(self, number: int, folder: str) -> bool:
        """Did an earlier try give that file of the delivery its name? What it left of one that never had it goes."""
        if str(number) not in self._noted:
            return False
        if self._inode not in (None, _inode(self._root)):
            raise Retryable(f"{self._root} is another folder than before: is its disk mounted?")
        temp = os.path.join(folder, self._noted[str(number)])
        if not os.path.lexists(temp):
            return True
        self.take_back([number])
        with suppress(FileNotFoundError):
            os.unlink(temp)
        return False

    def note(self, temps: Mapping[int, str]) -> None:
        self._keep({**self._noted, **{str(number): os.path.basename(temp) for number, temp in temps.items()}})

    def take_back(self, numbers: Collection[int]) -> None:
        self._keep({key: temp for key, temp in self._noted.items() if int(key) not in numbers})

    def _keep(self, noted: dict[str, str]) -> None:
        self._inode = _inode(self._root)
        self._progress.save({"temporary": noted, "inode": self._inode})
        self._noted = noted


def _inode(folder: str) -> int:
    """0 where it is not there."""
    try:
        return os.stat(folder).st_ino
    except FileNotFoundError:
        return 0
